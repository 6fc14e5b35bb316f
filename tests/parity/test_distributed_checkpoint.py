"""Distributed checkpoints of one process, in both directions; states of models and optimizers by name."""

import os
import pickle
import shutil

import numpy as np
import pytest

import rushlight
from rushlight.distributed import checkpoint as rdcp
from rushlight.distributed.checkpoint import state_dict as rstate
from rushlight.distributed.checkpoint.format_utils import dcp_to_torch_save, torch_save_to_dcp
from rushlight.distributed.checkpoint.state_dict_loader import load_all

torch = pytest.importorskip("torch")
tdcp = pytest.importorskip("torch.distributed.checkpoint")
tstate = pytest.importorskip("torch.distributed.checkpoint.state_dict")

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
]
BOTH = [(torch, tdcp), (rushlight, rdcp)]
LIBS = pytest.mark.parametrize("lib, dcp", BOTH, ids=["torch", "rushlight"])


def trained(lib, seed=0):
    lib.manual_seed(seed)
    # In evaluation mode, since behind a normalization gradients are nearly zero, and Adam would blow that up.
    model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Linear(4, 2, bias=False)).eval()
    optimizer = lib.optim.AdamW(model.parameters(), lr=0.01, betas=(0.8, 0.9))
    model(lib.arange(12.0).reshape(4, 3)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def state(lib):
    model, optimizer = trained(lib)
    return {
        "model": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 3, "names": ["a", "b"],
        "mixed": [lib.ones(2), "x", {"q": lib.arange(3)}], "half": lib.ones(2, dtype=lib.bfloat16),
        "scalar": lib.tensor(2.5), "view": lib.arange(10)[2:5], "turned": lib.arange(6.0).reshape(2, 3).T,
        "empty": lib.zeros(0, 3), "bool": lib.tensor([True, False]), "grad": lib.ones(1, requires_grad=True),
    }  # fmt: skip


def blank(value, lib):
    if isinstance(value, lib.Tensor):
        return lib.zeros_like(value)
    if isinstance(value, dict):
        return {key: blank(one, lib) for key, one in value.items()}
    return [blank(one, lib) for one in value] if isinstance(value, list) else None


def plain(value):
    if hasattr(value, "detach"):
        return str(value.dtype), tuple(value.shape), value.detach().tolist()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def near(a, b):
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            near(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            near(x, y)
    elif hasattr(a, "detach"):
        np.testing.assert_allclose(a.detach().double().numpy(), b.detach().double().numpy(), rtol=1e-5, atol=1e-7)
    else:
        assert a == b


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("dcp")
    for lib, dcp in BOTH:
        dcp.save(state(lib), checkpoint_id=root / lib.__name__)
    return root


@LIBS
@pytest.mark.parametrize("writer", ["torch", "rushlight"])
def test_each_reads_what_each_wrote(lib, dcp, writer, folders):
    found = blank(state(lib), lib)
    dcp.load(found, checkpoint_id=folders / writer)
    near(found, state(torch if writer == "torch" else rushlight))
    assert found["half"].dtype == lib.bfloat16
    assert found["epoch"] == 3


def test_tables_of_contents_agree(folders):
    ours, theirs = (rdcp.FileSystemReader(folders / name).read_metadata() for name in ("rushlight", "torch"))
    assert list(ours.state_dict_metadata.items()) == list(theirs.state_dict_metadata.items())
    assert ours.planner_data == theirs.planner_data
    assert list(ours.storage_data.items()) == list(theirs.storage_data.items())
    assert ours.version == theirs.version
    assert sorted(os.listdir(folders / "rushlight")) == sorted(os.listdir(folders / "torch"))


@pytest.mark.parametrize("options", [{"thread_count": 2}, {"single_file_per_rank": False}])
def test_files_are_divided_as_by_torch(options, tmp_path):
    for lib, dcp in BOTH:
        dcp.save(state(lib), storage_writer=dcp.FileSystemWriter(tmp_path / lib.__name__, **options))
    places = [rdcp.FileSystemReader(tmp_path / name).read_metadata().storage_data for name in ("rushlight", "torch")]
    assert {k: v.relative_path for k, v in places[0].items()} == {k: v.relative_path for k, v in places[1].items()}
    found = blank(state(torch), torch)
    tdcp.load(found, checkpoint_id=tmp_path / "rushlight")
    near(found, state(rushlight))


def test_pieces_of_several_processes(tmp_path):
    """A tensor in four pieces, in files of two processes, as sharding over a mesh leaves them."""
    from torch.distributed.checkpoint import filesystem
    from torch.distributed.checkpoint import metadata as records

    whole = torch.arange(35.0).reshape(5, 7)
    tdcp.save({"w": whole, "epoch": 2}, checkpoint_id=tmp_path)
    with open(tmp_path / ".metadata", "rb") as file:
        contents = pickle.load(file)
    entry = contents.state_dict_metadata["w"]
    entry.chunks.clear()
    del contents.storage_data[records.MetadataIndex("w", (0, 0))]
    for rank, (top, left, height, width) in enumerate([(0, 0, 3, 4), (0, 4, 3, 3), (3, 0, 2, 4), (3, 4, 2, 3)]):
        piece = records.ChunkStorageMetadata(torch.Size((top, left)), torch.Size((height, width)))
        entry.chunks.append(piece)
        name = f"__{rank // 2}_1.distcp"
        with open(tmp_path / name, "ab") as file:
            start = file.tell()
            torch.save(whole[top : top + height, left : left + width].clone(), file)
            info = filesystem._StorageInfo(name, start, file.tell() - start)
        contents.storage_data[records.MetadataIndex("w", (top, left), rank)] = info
    with open(tmp_path / ".metadata", "wb") as file:
        pickle.dump(contents, file)
    for lib, dcp in BOTH:
        found = {"w": lib.zeros(5, 7), "epoch": 0}
        dcp.load(found, checkpoint_id=tmp_path)
        assert found["w"].tolist() == whole.tolist()
        assert found["epoch"] == 2
    assert load_all(tmp_path)["w"].tolist() == whole.tolist()


@LIBS
def test_options_of_planners(lib, dcp, tmp_path):
    dcp.save({"a": {"b": lib.ones(2)}, "c": 1}, checkpoint_id=tmp_path)
    wanted = {"a": {"b": lib.zeros(2), "new": lib.zeros(1)}, "c": 0}
    with pytest.raises(dcp.CheckpointException, match=r"Missing key in checkpoint state_dict: a\.new"):
        dcp.load(wanted, checkpoint_id=tmp_path)
    planner = dcp.DefaultLoadPlanner(allow_partial_load=True)
    dcp.load(wanted, checkpoint_id=tmp_path, planner=planner)
    assert plain(wanted) == plain({"a": {"b": lib.ones(2), "new": lib.zeros(1)}, "c": 1})
    flat = {"w": lib.ones(2), "deep": {"x": 1}}
    writer, planner = dcp.FileSystemWriter(tmp_path / "flat"), dcp.DefaultSavePlanner(flatten_state_dict=False)
    assert list(dcp.save(flat, storage_writer=writer, planner=planner).state_dict_metadata) == ["w", "deep"]
    found = {"w": lib.zeros(2), "deep": None}
    planner = dcp.DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    dcp.load(found, checkpoint_id=tmp_path / "flat", planner=planner)
    assert plain(found) == plain(flat)


@LIBS
def test_refusals(lib, dcp, tmp_path):
    dcp.save({"a": lib.ones(2), "c": 1}, checkpoint_id=tmp_path)
    for wanted, message in (
        ({"a": lib.ones(3)}, r"Size mismatch between saved torch.Size\(\[2\]\) and current: torch.Size\(\[3\]\) for a"),
        ({"a": 1}, "Invalid checkpoint metadata for a, expected BytesStorageMetadata"),
    ):
        with pytest.raises(dcp.CheckpointException, match=message) as caught:
            dcp.load(wanted, checkpoint_id=tmp_path)
        assert type(caught.value.failures[0][0]) is ValueError
    with pytest.raises(dcp.CheckpointException, match="metadata is None"):
        dcp.load({"a": lib.ones(2)}, checkpoint_id=tmp_path / "none")
    with pytest.raises(RuntimeError, match="`checkpoint_id` must be specified"):
        dcp.save({})
    with pytest.raises(dcp.CheckpointException, match=r"Checkpoint already exists and self\.overwrite=False"):
        dcp.save({"a": 1}, storage_writer=dcp.FileSystemWriter(tmp_path, overwrite=False))
    with pytest.warns(UserWarning, match="Detected an existing checkpoint in"):
        dcp.save({"a": 1}, checkpoint_id=tmp_path)


@LIBS
def test_objects_with_states(lib, dcp, tmp_path):
    model, optimizer = trained(lib)
    dcp.save({"model": model, "optim": optimizer}, checkpoint_id=tmp_path)
    other, other_optimizer = trained(lib, 1)
    dcp.load({"model": other, "optim": other_optimizer}, checkpoint_id=tmp_path)
    near(other.state_dict(), model.state_dict())
    near(other_optimizer.state_dict(), optimizer.state_dict())


@LIBS
def test_old_names_warn_and_work(lib, dcp, tmp_path):
    with pytest.warns(FutureWarning, match="`save_state_dict` is deprecated"):
        dcp.save_state_dict({"a": lib.ones(2)}, dcp.FileSystemWriter(tmp_path), no_dist=True)
    found = {"a": lib.zeros(2)}
    with pytest.warns(FutureWarning, match="`load_state_dict` is deprecated"):
        dcp.load_state_dict(found, dcp.FileSystemReader(tmp_path), no_dist=True)
    assert found["a"].tolist() == [1, 1]


@LIBS
def test_meta_tensors_and_one_process_alone(lib, dcp, tmp_path):
    dcp.save({"a": lib.arange(3)}, checkpoint_id=tmp_path, use_collectives=False, no_dist=True)
    assert "__0.metadata" in os.listdir(tmp_path)
    for other in (torch, rushlight):
        # torch gives meta tensors a place only where there is a process group.
        found = {"a": other.empty(3, dtype=other.int64, device="meta" if other is rushlight else "cpu")}
        (tdcp if other is torch else rdcp).load(found, checkpoint_id=tmp_path)
        assert found["a"].tolist() == [0, 1, 2]


def test_async_save_keeps_what_was_there(tmp_path):
    weight = rushlight.ones(2)
    later = rdcp.async_save({"w": weight}, checkpoint_id=tmp_path)
    weight.zero_()
    assert list(later.wait().state_dict_metadata) == ["w"]
    assert load_all(tmp_path)["w"].tolist() == [1, 1]


def test_to_one_file_and_back(folders, tmp_path):
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save as theirs

    dcp_to_torch_save(folders / "torch", tmp_path / "ours.pt")
    theirs(folders / "torch", tmp_path / "theirs.pt")
    a, b = (torch.load(tmp_path / name, weights_only=False) for name in ("ours.pt", "theirs.pt"))
    assert plain(a) == plain(b)
    torch_save_to_dcp(tmp_path / "theirs.pt", tmp_path / "back")
    assert plain(load_all(tmp_path / "back")) == plain(load_all(folders / "torch"))


# -- states by name ----------------------------------------------------------------------------------------------

STATES = [(torch, tstate), (rushlight, rstate)]


def test_states_by_name():
    found = []
    for lib, module in STATES:
        model, optimizer = trained(lib)
        both = module.get_state_dict(model, optimizer)
        near(both[0], module.get_model_state_dict(model))
        near(both[1], module.get_optimizer_state_dict(model, optimizer))
        flat = module.StateDictOptions(flatten_optimizer_state_dict=True)
        found.append((*both, module.get_optimizer_state_dict(model, [optimizer], options=flat)))
    near(found[1], found[0])


@pytest.mark.parametrize("flat", [False, True])
def test_states_come_back(flat):
    for lib, module in STATES:
        model, optimizer = trained(lib)
        options = module.StateDictOptions(flatten_optimizer_state_dict=flat)
        held = module.get_state_dict(model, optimizer, options=options)
        other, other_optimizer = trained(lib, 1)
        result = module.set_state_dict(
            other, other_optimizer, model_state_dict=held[0], optim_state_dict=held[1], options=options
        )
        assert str(result) == "<All keys matched successfully>"
        near(other_optimizer.state_dict(), optimizer.state_dict())
        near(other.state_dict(), model.state_dict())


def two_optimizers(lib):
    lib.manual_seed(0)
    model = lib.nn.ModuleDict({"a": lib.nn.Linear(2, 2), "b": lib.nn.Linear(2, 2), "frozen": lib.nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    model["b"].weight = model["a"].weight  # shared
    one = lib.optim.SGD([{"params": [model["a"].weight]}, {"params": [model["a"].bias], "lr": 0.5}], 0.1, momentum=0.9)
    return model, [one, lib.optim.Adam([model["b"].bias, model["frozen"].bias], 0.2)]


@pytest.mark.parametrize("flat", [False, True])
def test_shared_and_frozen_parameters_of_two_optimizers(flat):
    found = []
    for lib, module in STATES:
        model, optimizers = two_optimizers(lib)
        options = module.StateDictOptions(
            flatten_optimizer_state_dict=flat, ignore_frozen_params=True, cpu_offload=True
        )
        names, held = module.get_state_dict(model, optimizers, options=options)
        before = [optimizer.state_dict() for optimizer in optimizers]
        module.set_optimizer_state_dict(model, optimizers, held, options=options)
        for optimizer, state in zip(optimizers, before):
            near(optimizer.state_dict()["state"], state["state"])
        assert all(param.grad is None for param in model.parameters())
        assert model["a"].weight.is_leaf
        found.append((list(names), {key: str(value)[:5] for key, value in held.items()}, held))
    assert found[1][0] == found[0][0]
    near(found[1][2], found[0][2])


def test_making_an_optimizers_state_changes_no_parameter():
    for lib, module in STATES:
        lib.manual_seed(0)
        model = lib.nn.Linear(2, 2)
        before = model.weight.detach().clone()
        for make in (lib.optim.SGD, lib.optim.AdamW, lib.optim.RMSprop):
            optimizer = make(model.parameters(), lr=0.1, weight_decay=0.5)
            module._init_optim_state(optimizer)
            assert model.weight.tolist() == before.tolist()
            assert model.weight.grad is None
            assert optimizer.param_groups[0]["lr"] == 0.1
            assert bool(optimizer.state) == (make is not lib.optim.SGD or bool(optimizer.state))


def test_options_of_models():
    found = []
    for lib, module in STATES:
        model, _ = trained(lib)
        held = module.get_model_state_dict(model, options=module.StateDictOptions(full_state_dict=True))
        del held["0.bias"]
        with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0.bias"'):
            module.set_model_state_dict(model, dict(held))
        partly = module.set_model_state_dict(model, dict(held), options=module.StateDictOptions(strict=False))
        assert (partly.missing_keys, partly.unexpected_keys) == (["0.bias"], [])
        whole = module.StateDictOptions(full_state_dict=True)
        assert str(module.set_model_state_dict(model, dict(held), options=whole)) == "<All keys matched successfully>"
        with pytest.warns(FutureWarning, match="Getting submodules only"):
            part = module.get_model_state_dict(model, submodules={model[0]})
        shorter = module.StateDictOptions(keep_submodule_prefixes=False)
        with pytest.warns(FutureWarning, match="Getting submodules only"):
            short = module.get_model_state_dict(model, submodules={model[0]}, options=shorter)
        found.append((list(part), list(short)))
        with pytest.raises(ValueError, match="full_state_dict must be True when broadcast_from_rank0"):
            module.get_model_state_dict(model, options=module.StateDictOptions(broadcast_from_rank0=True))
        with pytest.raises(RuntimeError, match="Optimizers are not passed in but optim_only"):
            module.get_optimizer_state_dict(model, [])
    assert found[0] == found[1]
    with pytest.raises(RuntimeError, match="model state_dict is empty"):
        rstate.get_model_state_dict(rushlight.nn.ReLU())


def test_a_missing_optimizer_state_is_named():
    for lib, module in STATES:
        model, optimizer = trained(lib)
        held = module.get_optimizer_state_dict(model, optimizer)
        del held["state"]["0.bias"]
        with pytest.raises(RuntimeError, match=r"Missing optimizer state for parameter '0\.bias'"):
            module.set_optimizer_state_dict(model, optimizer, held)
        relaxed = module.StateDictOptions(strict=False)
        module.set_optimizer_state_dict(model, optimizer, held, options=relaxed)


def test_wrappers_leave_no_trace_in_names():
    lib = rushlight
    from rushlight.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    lib.distributed.init_process_group("gloo", world_size=1, rank=0)
    try:
        model = lib.nn.Sequential(checkpoint_wrapper(lib.nn.Linear(2, 2)), lib.nn.ReLU())
        wrapped = lib.nn.parallel.DistributedDataParallel(model)
        optimizer = lib.optim.Adam(wrapped.parameters())
        held = rstate.get_state_dict(wrapped, optimizer)
        assert list(held[0]) == ["0.weight", "0.bias"] == held[1]["param_groups"][0]["params"]
        held[0]["0.bias"] = lib.ones(2)
        rstate.set_state_dict(wrapped, optimizer, model_state_dict=held[0], optim_state_dict=held[1])
        assert model[0].bias.tolist() == [1, 1]
        with pytest.raises(RuntimeError, match=r"Missing key: 0\.weight\."):
            rstate.set_model_state_dict(wrapped, {"0.bias": lib.ones(2)})
    finally:
        lib.distributed.destroy_process_group()


def test_the_old_way_of_names(tmp_path):
    """Before torch 2.4, dicts without tensors were kept whole."""
    from torch.distributed.checkpoint import _version

    _version._derived_version = "2_3"
    try:
        tdcp.save({"a": {"lr": 0.1, "betas": (1, 2)}, "w": torch.ones(1)}, checkpoint_id=tmp_path)
    finally:
        _version._derived_version = None
    assert list(rdcp.FileSystemReader(tmp_path).read_metadata().state_dict_metadata) == ["a", "w"]
    found = {"a": {"lr": None, "betas": None}, "w": rushlight.zeros(1)}
    rdcp.load(found, checkpoint_id=tmp_path)
    assert plain(found) == plain({"a": {"lr": 0.1, "betas": (1, 2)}, "w": rushlight.ones(1)})
    shutil.rmtree(tmp_path)
