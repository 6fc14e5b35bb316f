"""The tools for checkpoints, on files that PyTorch wrote, and files they write read by PyTorch."""

import argparse
import copy
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import rushlight
from rushlight.cli.main import app
from rushlight.inspect import open_source, summary
from rushlight.inspect.convert import convert, renamer
from rushlight.models import resnet18 as our_resnet18

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.int32,
    torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32,
]  # fmt: skip


def plain(tensor):
    """A torch tensor's values as numpy's, exactly."""
    wide = tensor.dtype.is_floating_point and tensor.dtype not in (torch.float32, torch.float64, torch.float16)
    return (tensor.float() if wide else tensor).detach().numpy()


def net():
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    )
    made[3].weight = made[2].weight
    return made


def everything():
    state = {str(d).removeprefix("torch."): torch.tensor([0, 1, 1, 0, 3]).to(d) for d in DTYPES}
    base = torch.arange(24.0).reshape(2, 3, 4)
    return state | {
        "base": base, "row": base[1], "column": base[:, 1, ::2], "transposed": base.transpose(0, 2),
        "expanded": torch.ones(1, 3).expand(4, 3), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5),
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }  # fmt: skip


@pytest.mark.parametrize("old", [False, True])
def test_every_tensor_of_a_file(tmp_path, old):
    state = everything()
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    with open_source(tmp_path / "a.pt") as source:
        assert source.format == ("torch legacy" if old else "torch zip")
        assert [e.name for e in source.entries] == list(state)
        for entry in source.entries:
            tensor = state[entry.name]
            assert (entry.shape, entry.dtype.name) == (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            assert entry.stride == tensor.stride() and entry.offset == tensor.storage_offset()
            np.testing.assert_array_equal(np.asarray(source.read(entry)).astype(plain(tensor).dtype), plain(tensor))
        shared = [{e.name for e in group} for group in source.shared()]
        assert shared == [{"base", "row", "column", "transposed"}]


def test_torch_reads_what_convert_writes(tmp_path):
    state = everything()
    torch.save({"epoch": 2, "model": state, "args": [1, "x"]}, tmp_path / "a.pt")
    with open_source(tmp_path / "a.pt") as source:
        convert(source, tmp_path / "b.pt")
        convert(source, tmp_path / "c.pt", dtype=rushlight.bfloat16, tensors_only=True)
        convert(source, tmp_path / "s.pt", shard_size=60)
    back = torch.load(tmp_path / "b.pt")
    assert (back["epoch"], back["args"]) == (2, [1, "x"])
    for name, tensor in state.items():
        got = back["model"][name]
        assert (got.dtype, got.shape, got.stride()) == (tensor.dtype, tensor.shape, tensor.stride()), name
        np.testing.assert_array_equal(plain(got), plain(tensor))
    assert back["model"]["base"].data_ptr() == back["model"]["transposed"].data_ptr()
    cast = torch.load(tmp_path / "c.pt")
    for name, tensor in state.items():
        wanted = tensor.to(torch.bfloat16) if tensor.dtype.is_floating_point else tensor
        assert cast[f"model.{name}"].dtype == wanted.dtype
        np.testing.assert_array_equal(plain(cast[f"model.{name}"]), plain(wanted))
    index = json.loads((tmp_path / "s.pt.index.json").read_text())
    for name, file in index["weight_map"].items():
        np.testing.assert_array_equal(
            plain(torch.load(tmp_path / file)[name]), plain(state[name.removeprefix("model.")])
        )


def test_safetensors_both_ways(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    state = {k: v.contiguous() for k, v in everything().items() if k not in ("row", "column", "transposed")}
    library.save_file(state, tmp_path / "a.safetensors", {"made": "here"})
    with open_source(tmp_path / "a.safetensors") as source:
        assert source.metadata == {"made": "here"}
        for entry in source.entries:
            tensor = state[entry.name]
            np.testing.assert_array_equal(np.asarray(source.read(entry)).astype(plain(tensor).dtype), plain(tensor))
        convert(source, tmp_path / "b.safetensors")
    back = library.load_file(tmp_path / "b.safetensors")
    assert {k: v.dtype for k, v in back.items()} == {k: v.dtype for k, v in state.items()}
    assert all(np.array_equal(plain(back[k]), plain(state[k])) for k in state)
    torch.save(net().state_dict(), tmp_path / "net.pth")
    with open_source(tmp_path / "net.pth") as source:
        convert(source, tmp_path / "net.safetensors")
    fresh = net()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    library.load_model(fresh, tmp_path / "net.safetensors")  # knows the names that were tied
    assert torch.equal(fresh[3].weight, net()[3].weight)


def test_whole_modules_and_training_state(tmp_path):
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    torch.save(model, tmp_path / "m.pt")
    with open_source(tmp_path / "m.pt") as source:
        assert [e.name for e in source.entries] == list(model.state_dict())
        assert source.classes["0"] == "torch.nn.modules.conv.Conv2d"
        convert(source, tmp_path / "n.pt")
    again = torch.load(tmp_path / "n.pt", weights_only=False)
    assert repr(again) == repr(model) and torch.equal(again[0].weight, model[0].weight)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "t.ckpt")
    with open_source(tmp_path / "t.ckpt") as source:
        convert(source, tmp_path / "u.ckpt", rename=renamer([r"^(\d+)\.=layers.\1."]))
    renamed = torch.load(tmp_path / "u.ckpt")
    assert next(iter(renamed["model"])) == "layers.0.weight" and renamed["model"]._metadata["layers.1"] == {
        "version": 2
    }
    optimizer.load_state_dict(renamed["optimizer"])


class Outside:
    """A class that only the program which saved the file knows."""

    def __init__(self):
        self.table, self.rate = torch.ones(3), 0.5


def test_classes_of_a_program(tmp_path, monkeypatch):
    monkeypatch.setattr(Outside, "__module__", "__main__")
    import __main__

    monkeypatch.setattr(__main__, "Outside", Outside, raising=False)
    torch.save({"a": torch.zeros(2), "thing": Outside(), "args": argparse.Namespace(lr=0.1)}, tmp_path / "a.pt")
    with open_source(tmp_path / "a.pt") as source:
        assert {e.name for e in source.entries} == {"a", "thing.table"}
        assert source.values == {"thing.rate": 0.5, "args.lr": 0.1}


@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning", "ignore:TypedStorage:UserWarning")
def test_kinds_of_tensors_that_are_only_described(tmp_path):
    state = {
        "plain": torch.ones(2), "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    }  # fmt: skip
    torch.save(state, tmp_path / "a.pt")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "a.pt")], obj=[])
    assert done.exit_code == 0 and "sparse" in done.stdout and "quantized" in done.stdout
    with open_source(tmp_path / "a.pt") as source:
        convert(source, tmp_path / "b.pt", dtype=rushlight.float16)
        assert any("left out: sparse, quantized" in note for note in convert(source, tmp_path / "b.npz").notes)
    back = torch.load(tmp_path / "b.pt")
    assert back["plain"].dtype is torch.float16 and torch.equal(back["sparse"].to_dense(), torch.eye(3))
    assert torch.equal(back["quantized"].dequantize(), state["quantized"].dequantize())


def test_diff_of_two_training_states(tmp_path):
    model = net()
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, tmp_path / "a.ckpt")
    after = copy.deepcopy(model)
    with torch.no_grad():
        after[0].weight.mul_(1.1)
    torch.save(torch.nn.DataParallel(after).state_dict(), tmp_path / "b.pth")
    done = CliRunner().invoke(app, ["diff", "--json", str(tmp_path / "a.ckpt"), str(tmp_path / "b.pth")], obj=[])
    data = json.loads(done.stdout)
    assert done.exit_code == 1 and len(data["renamed"]) == 11 and len(data["changed"]) == 1
    (row,) = data["changed"]
    assert row["to"] == "module.0.weight" and row["relative"] == pytest.approx(0.1, rel=1e-4)
    assert row["norm"][0] == pytest.approx(float(model[0].weight.detach().norm()), rel=1e-6)


def test_inspect_tells_torchs_statistics(tmp_path):
    torch.manual_seed(1)
    weight = torch.randn(300, 70) * 0.02 + 0.1
    torch.save({"w": weight, "h": weight.half(), "b": weight.bfloat16()}, tmp_path / "a.pt")
    done = CliRunner().invoke(app, ["inspect", "--json", str(tmp_path / "a.pt")], obj=[])
    for row, tensor in zip(json.loads(done.stdout)["tensors"], (weight, weight.half(), weight.bfloat16())):
        exact, found = tensor.double(), row["statistics"]
        wanted = [exact.min(), exact.max(), exact.mean(), exact.std(correction=0), exact.norm()]
        assert [found[k] for k in ("min", "max", "mean", "std", "norm")] == pytest.approx(
            [float(v) for v in wanted], rel=1e-5
        )


def test_flops_as_torch_counts_them():
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    cases = [
        (torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), rushlight.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), (2, 4, 9, 9)),
        (torch.nn.ConvTranspose2d(4, 6, 4, stride=2), rushlight.nn.ConvTranspose2d(4, 6, 4, stride=2), (1, 4, 5, 5)),
        (torch.nn.Linear(5, 7), rushlight.nn.Linear(5, 7), (3, 2, 5)),
    ]  # fmt: skip
    for theirs, ours, shape in cases:
        with FlopCounterMode(display=False) as counter:
            theirs(torch.ones(shape))
        assert 2 * summary(ours, shape).macs == counter.get_total_flops(), theirs
    table = summary(our_resnet18(), (1, 3, 224, 224))
    assert table.parameters == 11_689_512 and table.macs == 1_814_073_344
