"""Compares further options of distributed checkpoints with PyTorch: folders, threads, paths, groups and gradients."""

import types

import pytest

torch = pytest.importorskip("torch")

import torch.distributed.checkpoint as tdcp  # noqa: E402
from torch.distributed.checkpoint import state_dict as tstate  # noqa: E402

import rushlight  # noqa: E402
from rushlight.distributed import checkpoint as rdcp  # noqa: E402
from rushlight.distributed.checkpoint import state_dict as rstate  # noqa: E402
from rushlight.distributed.checkpoint import state_dict_saver  # noqa: E402
from rushlight.distributed.checkpoint._nested_dict import set_element  # noqa: E402
from rushlight.distributed.checkpoint.state_dict_loader import _load_state_dict_from_keys, load_all  # noqa: E402

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
    pytest.mark.filterwarnings("ignore:torch.distributed is unavailable"),
]
LIBS = pytest.mark.parametrize(
    "lib, dcp, states", [(torch, tdcp, tstate), (rushlight, rdcp, rstate)], ids=["torch", "rushlight"]
)


@LIBS
def test_a_writer_goes_to_the_folder_of_the_call(lib, dcp, states, tmp_path):
    writer = dcp.FileSystemWriter(tmp_path / "a")
    dcp.save({"x": lib.ones(1)}, checkpoint_id=tmp_path / "b", storage_writer=writer)
    assert not (tmp_path / "a" / ".metadata").exists()
    found = {"x": lib.zeros(1)}
    dcp.load(found, checkpoint_id=tmp_path / "b", storage_reader=dcp.FileSystemReader(tmp_path / "a"))
    assert found["x"].item() == 1
    before = writer.save_id
    writer.reset(tmp_path / "c")
    assert writer.save_id != before


def test_saving_in_a_thread_keeps_lists_and_tells_failures(tmp_path, monkeypatch):
    weight, work = rushlight.ones(2), []

    class Late:
        def __init__(self, target):
            self.start = lambda: work.append(target)

    with monkeypatch.context() as patch:
        patch.setattr(state_dict_saver, "threading", types.SimpleNamespace(Thread=Late))
        later = rdcp.async_save({"deep": {"list": [weight, {"more": weight}]}}, checkpoint_id=tmp_path / "a")
    weight.zero_()
    work[0]()
    later.wait()
    first, second = load_all(tmp_path / "a")["deep"]["list"]
    assert first.tolist() == second["more"].tolist() == [1, 1]
    (tmp_path / "file").write_text("no folder")
    later = rdcp.async_save({"x": weight}, checkpoint_id=tmp_path / "file")
    with pytest.raises(rdcp.CheckpointException):
        later.wait()


def test_meta_tensors_in_lists(tmp_path):
    rdcp.save({"a": [rushlight.arange(3), {"b": rushlight.ones(2)}]}, checkpoint_id=tmp_path)
    found = {"a": [rushlight.empty(3, dtype=rushlight.int64, device="meta"), {"b": rushlight.empty(2, device="meta")}]}
    rdcp.load(found, checkpoint_id=tmp_path)
    assert found["a"][0].tolist() == [0, 1, 2] and found["a"][1]["b"].tolist() == [1, 1]


def test_parts_by_the_beginning_of_their_path(tmp_path):
    state = {"model": {"head": {"w": rushlight.ones(1)}, "body": rushlight.zeros(1)}, "epoch": 3}
    rdcp.save(state, checkpoint_id=tmp_path)
    found = _load_state_dict_from_keys({"model.head", "epoch"}, checkpoint_id=tmp_path)
    assert list(found) == ["model", "epoch"] and list(found["model"]) == ["head"]
    assert list(_load_state_dict_from_keys("model", checkpoint_id=tmp_path)) == ["model"]


def test_what_stands_beside_in_a_list_stays():
    found = {}
    for name, place in (("y", 1), ("x", 0), ("z", 1)):
        set_element(found, ("a", place, name), name)
    assert found == {"a": [{"x": "x"}, {"y": "y", "z": "z"}]}


@LIBS
def test_groups_are_found_by_their_parameters(lib, dcp, states):
    """The groups of the optimizer that loads stand in another order."""
    model = lib.nn.Linear(2, 2)

    def optimizer(*names):
        return lib.optim.Adam([{"params": [getattr(model, n)], "lr": 0.5 if n == "bias" else 0.1} for n in names])

    held = states.get_optimizer_state_dict(model, optimizer("bias", "weight"))
    for order in (("bias", "weight"), ("weight", "bias")):
        other = optimizer(*order)
        for group in other.param_groups:
            group["lr"] = 9.0
        states.set_optimizer_state_dict(model, other, held)
        assert [g["lr"] for g in other.param_groups] == [0.5 if n == "bias" else 0.1 for n in order]


@LIBS
def test_gradients_that_wait_stay(lib, dcp, states):
    model = lib.nn.Linear(2, 2)
    optimizer = lib.optim.Adam(model.parameters())
    model.weight.grad = lib.ones(2, 2)
    found = states.get_optimizer_state_dict(model, optimizer)
    assert found["state"] == {} and model.weight.grad.tolist() == [[1, 1], [1, 1]] and model.bias.grad is None


def test_a_model_without_contents_takes_the_tensors():
    with rushlight.device("meta"):
        model = rushlight.nn.Linear(2, 2)
    options = rstate.StateDictOptions(full_state_dict=True)
    rstate.set_model_state_dict(model, {"weight": rushlight.ones(2, 2), "bias": rushlight.zeros(2)}, options=options)
    assert model.weight.tolist() == [[1, 1], [1, 1]] and model.bias.device.type == "cpu"


def test_modules_that_change_names_are_refused():
    class Renamed(rushlight.nn.Linear):
        def _fqn_modifiers(self):
            return {"weight": "w"}

    with pytest.raises(NotImplementedError, match=r"Renamed\._fqn_modifiers .*Rename the keys of the state"):
        rstate.get_model_state_dict(Renamed(1, 1))


@LIBS
def test_an_optimizer_without_state(lib, dcp, states):
    model = lib.nn.Linear(2, 2)
    optimizer = lib.optim.SGD(model.parameters(), lr=0.5)
    held = states.get_state_dict(model, optimizer)
    optimizer.param_groups[0]["lr"] = 9.0
    states.set_state_dict(model, optimizer, model_state_dict=held[0], optim_state_dict=held[1])
    assert optimizer.param_groups[0]["lr"] == 0.5 and not optimizer.state_dict()["state"]
