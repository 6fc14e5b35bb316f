"""Owns the tests of complex32: what is made, kept and rounded, and files of it in every format, without torch.

May import rushlight and numpy; files of real PyTorch with this type are among the golden ones.
"""

from __future__ import annotations

import copy
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import rushlight as torch
from rushlight import nn
from rushlight._tensor.unread import write_later
from rushlight.checkpoint import load, save, save_file
from rushlight.checkpoint.orbax import Checkpointer
from rushlight.cli.main import app
from rushlight.inspect import open_source

pytestmark = pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
# Every pattern of 16 bits twice, in both places of a number.
PATTERNS = np.stack([np.arange(1 << 16, dtype=np.uint16), np.arange(1 << 16, dtype=np.uint16)[::-1]], 1)


def half(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.complex32)


def is_half(t: torch.Tensor) -> bool:
    return t.dtype is torch.complex32 and t.element_size() == 4 and t.nbytes == 4 * t.numel()


def bits(t: torch.Tensor) -> np.ndarray:
    """What a file would hold."""
    parts = np.ascontiguousarray(np.asarray(t.detach()._array())).reshape(-1).view(np.float32)
    return parts.astype(np.float16).view(np.uint16)


# -- tensors -----------------------------------------------------------------------------------------------------------


def test_what_makes_one():
    wide = torch.tensor([1 + 0.1j, 65520 - 2j, 1e-9 + 3e-8j, 0.333j])
    wanted = np.asarray(wide._array()).view(np.float32)
    with np.errstate(over="ignore"):
        wanted = wanted.astype(np.float16).astype(np.float32).view(np.complex64)
    for made in (wide.chalf(), wide.to(torch.complex32), wide.to("cpu", torch.chalf), wide.to(dtype=torch.complex32),
                 torch.tensor(wide, dtype=torch.complex32), torch.tensor(wide.tolist(), dtype=torch.complex32),
                 torch.as_tensor(wide, dtype=torch.complex32), wide.type(torch.complex32), wide.to(half(1j)),
                 wide.type_as(half(1j)), half(0j).new_tensor(wide.tolist())):  # fmt: skip
        assert is_half(made) and np.array_equal(np.asarray(made._array()), wanted)
    assert is_half(torch.zeros(2, 3, dtype=torch.complex32)) and is_half(torch.empty(2, dtype=torch.complex32))
    assert is_half(torch.ones(2, dtype=torch.complex32)) and is_half(torch.zeros_like(half(1j)))
    assert is_half(torch.ones_like(torch.ones(2), dtype=torch.complex32)) and is_half(torch.tensor(half(1j)))
    assert is_half(torch.empty_like(half(1j))) and is_half(torch.empty(2, dtype=torch.complex32, device="meta"))
    assert wide.dtype is torch.complex64 and torch.complex32 is torch.chalf
    assert half(1j).to(torch.complex32, copy=True).dtype is torch.complex32
    ours = half(1j)
    assert ours.to(torch.complex32) is ours and ours.chalf() is ours
    assert repr(half(1.5 - 2j)) == "tensor([1.5000-2.j], dtype=torch.complex32)"
    assert half(1j).type() == "torch.ComplexHalfTensor" and torch.complex32.itemsize == 4
    assert torch.complex32.is_complex and torch.complex32.to_real() is torch.float16
    assert pickle.loads(pickle.dumps(torch.complex32)) is torch.complex32


def test_what_has_no_such_form_says_so():
    for make in (
        lambda: torch.full((2,), 1j, dtype=torch.complex32),
        lambda: torch.eye(2, dtype=torch.complex32),
        lambda: torch.randn(2, dtype=torch.complex32),
        lambda: torch.arange(2, dtype=torch.complex32),
        lambda: torch.frombuffer(bytearray(8), dtype=torch.complex32),
    ):
        with pytest.raises(NotImplementedError, match=r"torch.complex32.*chalf\(\)"):
            make()


def test_what_shares_its_memory_or_copies_it_is_one_too():
    x = half(1 + 2j, 3 - 4j, 0.5j, 7)
    for view in (x.detach(), x.data, x[1:], x[2], x.view(2, 2), x.view(2, 2).t(), x.reshape(2, 2), x.unsqueeze(0),
                 nn.Parameter(x), nn.Buffer(x), x.cpu(), x.to("cpu"), copy.deepcopy(x), copy.copy(x),
                 pickle.loads(pickle.dumps(x)), x.requires_grad_(False)):  # fmt: skip
        assert is_half(view), view
    module = nn.Module()
    module.weight = nn.Parameter(x)
    module.register_buffer("scale", half(2j))
    for state in (module.state_dict(), module.state_dict(copy=True), copy.deepcopy(module).state_dict()):
        assert is_half(state["weight"]) and is_half(state["scale"])
    other = nn.Linear(2, 2).to(torch.complex64).to(torch.complex32)
    assert is_half(other.weight) and is_half(other.bias)
    assert is_half(copy.deepcopy(other).weight)


def test_operators_give_complex64():
    x = half(1 + 2j, 3 - 4j)
    for made in (x + x, x * 2, x.clone(), x.sum(), x.conj(), torch.cat([x, x]), x.to(torch.complex64), x.cfloat()):
        assert made.dtype is torch.complex64 and made.element_size() == 8
    assert (x * 2).tolist() == [2 + 4j, 6 - 8j] and (
        x + torch.ones(2, dtype=torch.complex128)
    ).dtype is torch.complex128
    assert x.real.dtype is torch.float32 and x.real.tolist() == [1, 3]
    assert x.numpy().dtype == np.complex64 and x.is_complex() and torch.equal(x, x.cfloat())
    assert torch.result_type(x, torch.tensor([1.0], dtype=torch.float64)) is torch.complex128
    torch.testing.assert_close(x, x + 0, check_dtype=False)


def test_what_is_written_into_one_is_rounded():
    x = half(0j, 0j, 0j)
    x[0] = 0.1 + 1e-9j
    x[1:].copy_(torch.tensor([0.3, 70000.0]))
    assert is_half(x)
    rounded = np.asarray(x._array()).view(np.float32)
    with np.errstate(over="ignore"):
        expected = np.array([0.1, 1e-9, 0.3, 0, 70000, 0]).astype(np.float16).astype(np.float32)
    assert np.array_equal(rounded, expected)
    x.fill_(0.1).mul_(3)
    assert is_half(x) and x[0].item().real == float(np.float16(np.float32(np.float16(0.1)) * np.float32(3)))
    x.data = torch.ones(2)
    assert x.dtype is torch.float32


def test_what_is_read_later_is_rounded_then():
    x, wide = half(0j), torch.tensor([0.1 + 0.3j])
    write_later(x._storage, (1,), np.dtype(np.complex64), lambda: wide._array())
    assert is_half(x) and x.tolist() == wide.chalf().tolist() and is_half(x)


def test_gradients_flow_through():
    x = torch.tensor([0.1 + 0.2j, 3.0], requires_grad=True)
    low = x.chalf()
    assert is_half(low) and low.requires_grad
    (low.abs() ** 2).sum().backward()
    assert x.grad.dtype is torch.complex64
    assert np.allclose(np.asarray(x.grad._array()), 2 * np.array([0.1 + 0.2j, 3.0]), rtol=2e-3)
    leaf = half(1 + 1j).requires_grad_()
    (leaf * 2).abs().sum().backward()
    assert leaf.grad.dtype is torch.complex64


def test_inside_a_compiled_function():
    x, scale = half(0.1, 0.3j), nn.Buffer(half(1j))

    @torch.compile
    def step(value):
        scale.mul_(0.1)
        return value * scale, value.chalf()

    out, low = step(x)
    eager = half(1j)
    eager.mul_(0.1)
    assert out.dtype is torch.complex64 and scale.tolist() == eager.tolist() and is_half(scale)
    assert (
        low.dtype is torch.complex64 and low.tolist() == x.tolist()
    )  # what comes out of a program is no storage of ours
    again = torch.compile(lambda v: v.chalf())(torch.tensor([0.1]))
    assert again.tolist() == half(0.1).tolist()


# -- files -------------------------------------------------------------------------------------------------------------


def written(patterns: np.ndarray, tmp_path: Path, name="patterns.pt", **options) -> Path:
    """A file whose one storage holds these bits; its checksum is that of others."""
    file = tmp_path / name
    save(torch.ones(len(patterns), dtype=torch.complex32), file, **options)
    data = bytearray(file.read_bytes())
    at = data.index(b"\0\x3c\0\0" * len(patterns))
    data[at : at + patterns.nbytes] = patterns.tobytes()
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("mmap", [True, False])
def test_every_number_comes_back_bit_for_bit(tmp_path, zipped, mmap):
    if mmap and not zipped:
        pytest.skip("torch maps zip archives alone")
    first = written(PATTERNS, tmp_path, _use_new_zipfile_serialization=zipped)
    if zipped and not mmap:
        with pytest.raises(RuntimeError, match="checksum"):
            load(first)
        found = load(first, mmap=True)
    else:
        found = load(first, mmap=mmap)
    assert is_half(found) and found.shape == (1 << 16,)
    finite = (PATTERNS & 0x7C00) != 0x7C00
    assert np.array_equal(bits(found).reshape(-1, 2)[finite], PATTERNS[finite])
    second = tmp_path / "second.pt"
    save({"x": found}, second, _use_new_zipfile_serialization=zipped)
    assert PATTERNS.tobytes() in second.read_bytes()
    third = load(second)["x"]
    save(third.detach(), second)
    assert PATTERNS.tobytes() in second.read_bytes()


def test_a_file_keeps_views_and_shared_storages(tmp_path):
    x = torch.tensor(np.arange(24).reshape(4, 6) / 8 + 1j, dtype=torch.complex32)
    state = {"x": x, "row": x[1], "turned": x.t(), "part": x[1:3, ::2], "scalar": x[0, 0], "empty": x[:0],
             "parameter": nn.Parameter(x)}  # fmt: skip
    for name, options in (("new.pt", {}), ("old.pt", {"_use_new_zipfile_serialization": False})):
        save(state, tmp_path / name, **options)
        found = load(tmp_path / name)
        for key, value in state.items():
            assert is_half(found[key]) and found[key].stride() == value.stride(), key
            assert found[key].tolist() == value.tolist() and found[key].storage_offset() == value.storage_offset()
        assert len({id(v._storage) for v in found.values()}) == 1
        assert isinstance(found["parameter"], nn.Parameter) and found["x"].untyped_storage().nbytes() == 96
    assert (tmp_path / "new.pt").stat().st_size < 3000


def test_big_endian_records(tmp_path):
    """torch itself reads such a storage, which has no type, without turning its bytes round."""
    save(half(1.5 - 2j, 0.25 + 3j), tmp_path / "little.pt")
    with zipfile.ZipFile(tmp_path / "little.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            data = b"big" if name.endswith("byteorder") else old.read(name)
            new.writestr(name, np.frombuffer(data, np.uint16).byteswap().tobytes() if "/data/" in name else data)
    for mmap in (False, True):
        found = load(tmp_path / "big.pt", mmap=mmap)
        assert is_half(found) and found.tolist() == [1.5 - 2j, 0.25 + 3j]
    assert cli("convert", tmp_path / "big.pt", tmp_path / "again.pt")[0] == 0
    assert load(tmp_path / "again.pt").tolist() == [1.5 - 2j, 0.25 + 3j]


def test_meta_tensors(tmp_path):
    save({"x": torch.empty(2, 3, dtype=torch.complex32, device="meta")}, tmp_path / "m.pt")
    found = load(tmp_path / "m.pt")["x"]
    assert found.is_meta and is_half(found) and found.shape == (2, 3)
    save(half(1j, 2j), tmp_path / "x.pt")
    found = load(tmp_path / "x.pt", map_location="meta")
    assert found.is_meta and is_half(found)


@pytest.mark.parametrize("mmap", [True, False])
def test_loading_into_a_model(tmp_path, mmap):
    source, target = nn.Linear(3, 2).to(torch.complex64), nn.Linear(3, 2).to(torch.complex64)
    low = {name: value.chalf() for name, value in source.state_dict().items()}
    save(low, tmp_path / "low.pt")
    found = load(tmp_path / "low.pt", mmap=mmap)
    target.load_state_dict(found)
    assert target.weight.dtype is torch.complex64 and target.weight.tolist() == low["weight"].tolist()
    target.load_state_dict(load(tmp_path / "low.pt", mmap=mmap), assign=True)
    assert is_half(target.weight) and target.bias.tolist() == low["bias"].tolist()
    save(source.state_dict(), tmp_path / "full.pt")
    target.load_state_dict(load(tmp_path / "full.pt", mmap=mmap))  # and back into half precision
    assert is_half(target.weight) and target.weight.tolist() == low["weight"].tolist()
    with torch.device("meta"):
        blank = nn.Linear(3, 2).to(torch.complex64)
    blank.load_state_dict(found, assign=True)
    assert is_half(blank.weight)


def test_formats_that_have_no_such_type(tmp_path):
    state = {"x": half(1 + 1j)}
    for write in (
        lambda: save(state, tmp_path / "x.safetensors"),
        lambda: save_file(state, tmp_path / "x.safetensors"),
    ):
        with pytest.raises(RuntimeError, match=r"'x': safetensors has no torch.complex32. Convert it"):
            write()
    save(state, tmp_path / "x.pt")
    for target in ("y.safetensors", "y.npz"):
        code, out = cli("convert", tmp_path / "x.pt", tmp_path / target)
        assert code == 2 and f"{target[2:]} has no complex32; write a .pth file" in " ".join(out.split())
        assert not (tmp_path / target).exists()


def test_orbax(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    model = nn.Linear(2, 2).to(torch.complex64).to(torch.complex32)
    with Checkpointer(tmp_path / "run") as run:
        run.save(0, model=model, extra={"x": half(1 + 2j), "none": torch.zeros(0, dtype=torch.complex32)})
        run.wait()
        found = run.restore(0, model=model)
    assert is_half(model.weight) and is_half(found["extra"]["x"]) and is_half(found["extra"]["none"])
    with open_source(tmp_path / "run") as opened:
        assert {e.dtype.name for e in opened.entries} == {"complex32"}


# -- the commands ------------------------------------------------------------------------------------------------------


def cli(*arguments) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], obj=[])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    x = torch.tensor(np.arange(24).reshape(4, 6) / 8 + 1j, dtype=torch.complex32)
    state = {"module.x": x, "module.turned": x.t(), "module.y": half(3 + 4j), "module.z": torch.ones(3)}
    save(state, "a.pt")
    return state


def test_inspect_and_verify(files):
    code, out = cli("inspect", "a.pt")
    assert code == 0 and "c32[4,6]" in out and "96 B" in out and "c32[1]" in out
    code, out = cli("inspect", "a.pt", "--json")
    rows = {row["name"]: row for row in json.loads(out)["tensors"]}
    assert rows["module.y"]["dtype"] == "complex32" and rows["module.y"]["bytes"] == 4
    assert rows["module.y"]["statistics"]["max"] == 5
    assert rows["module.turned"]["statistics"]["norm"] == pytest.approx(np.linalg.norm(np.arange(24) / 8 + 1j))
    code, out = cli("verify", "a.pt")
    assert code == 0 and "4 tensors" in out and "match" in out
    assert cli("view", "a.pt", "-o", "a.html")[0] == 0


def test_convert_rename_and_diff(files):
    for arguments in (("convert", "a.pt", "b.pt"), ("convert", "a.pt", "b.pt", "--format", "legacy"),
                      ("convert", "a.pt", "b.pt", "--tensors-only"), ("convert", "a.pt", "b.pt", "--dtype", "bfloat16"),
                      ("rename", "a.pt", "--map", "module[.]=", "-o", "b.pt")):  # fmt: skip
        code, out = cli(*arguments)
        assert code == 0, out
        found = {"module." + name.removeprefix("module."): value for name, value in load("b.pt").items()}
        for name in ("module.x", "module.turned", "module.y"):
            assert is_half(found[name]) and found[name].tolist() == files[name].tolist(), (arguments, name)
        assert cli("verify", "b.pt")[0] == 0
        if "module[.]=" not in arguments and "bfloat16" not in arguments:
            assert cli("diff", "a.pt", "b.pt")[0] == 0
    save({**files, "module.y": half(3 + 5j), "module.z": files["module.x"].to(torch.complex64)}, "c.pt")
    code, out = cli("diff", "a.pt", "c.pt")
    assert code == 1 and "module.y" in out and "c64" in out and "module.x" not in out
    code, out = cli("convert", "a.pt", "d.orbax")
    assert code == 0, out
    with open_source("d.orbax") as opened:
        assert [e.dtype.name for e in opened.entries].count("complex32") == 3
