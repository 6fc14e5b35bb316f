"""Owns the proof that files cross between rushlight and PyTorch in both directions, byte for byte where that can be.

May import rushlight, torch and numpy.
"""

from __future__ import annotations

import collections
import io
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rushlight import dtypes  # noqa: E402
from rushlight._tensor.tensor import Tensor  # noqa: E402
from rushlight.checkpoint import Stub, get_unsafe_globals_in_checkpoint, load, safe_globals, save  # noqa: E402

pytestmark = pytest.mark.parity


def torch_file(obj, **options) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    file.seek(0)
    return file


def our_file(obj, **options) -> io.BytesIO:
    file = io.BytesIO()
    save(obj, file, **options)
    file.seek(0)
    return file


def raw(tensor) -> bytes:
    """The elements' bytes in row-major order, of either kind of tensor."""
    if isinstance(tensor, Tensor):
        return np.ascontiguousarray(np.asarray(tensor._array())).tobytes()
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


def same(ours, theirs, where="obj") -> None:
    """Assert that an object of ours says what one of PyTorch's says."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, Tensor), where
        assert repr(ours.dtype) == repr(theirs.dtype), where
        assert tuple(ours.shape) == tuple(theirs.shape), where
        assert ours.requires_grad == theirs.requires_grad, where
        assert ours.storage_offset() == theirs.storage_offset() or theirs.numel() == 0, where
        # The stride of a dimension of size 1 or of an empty tensor says nothing.
        if theirs.numel():
            for n, a, b in zip(theirs.shape, ours.stride(), theirs.stride()):
                assert n == 1 or a == b, where
        assert raw(ours) == raw(theirs), where
    elif isinstance(theirs, dict):
        assert type(ours).__name__ == type(theirs).__name__ and list(ours) == list(theirs), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert type(ours).__name__ == type(theirs).__name__ and len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            same(a, b, f"{where}[{i}]")
    elif isinstance(theirs, (torch.dtype, torch.device)):
        assert repr(ours) == repr(theirs), where
    elif isinstance(theirs, (np.ndarray, np.generic)):
        assert type(ours) is type(theirs) and ours.dtype == theirs.dtype, where
        assert ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes(), where
    else:
        assert type(ours) is type(theirs) and ours == theirs, where


def identical(ours: io.BytesIO, theirs: io.BytesIO) -> None:
    """Assert that two archives are equal, byte for byte, but for the serialization id and its checksum."""
    a, b = zipfile.ZipFile(ours), zipfile.ZipFile(theirs)
    ours.seek(0)
    assert a.namelist() == b.namelist()
    for x, y in zip(a.infolist(), b.infolist()):
        last = x.filename.endswith("serialization_id")
        assert (x.header_offset, x.file_size, x.flag_bits) == (y.header_offset, y.file_size, y.flag_bits), x.filename
        assert last or x.CRC == y.CRC, x.filename
    end = a.infolist()[-1].header_offset
    assert ours.getvalue()[:end] == theirs.getvalue()[:end]
    assert len(ours.getvalue()) == len(theirs.getvalue())


DTYPES = {name: getattr(torch, name) for name in dtypes.ALL}


def sample(name: str, count: int = 24):
    dtype = DTYPES[name]
    if name.startswith("float8"):
        return torch.arange(1, count + 1, dtype=torch.uint8).view(dtype)
    if dtype.is_complex:
        return torch.complex(torch.arange(count).double(), -torch.arange(count).double()).to(dtype)
    return (torch.arange(count) % 2).bool() if dtype is torch.bool else torch.arange(count).to(dtype)


LAYOUTS = {
    "contiguous": lambda x: x.reshape(2, 3, 4),
    "transposed": lambda x: x.reshape(4, 6).t(),
    "permuted": lambda x: x.reshape(2, 3, 4).permute(2, 0, 1),
    "slice": lambda x: x.reshape(4, 6)[1:3],
    "column": lambda x: x.reshape(4, 6)[:, 2],
    "steps": lambda x: x[3:20:4],
    "expanded": lambda x: x[2:5].reshape(3, 1).expand(3, 5),
    "scalar": lambda x: x[7],
    "own_scalar": lambda x: x[7].clone(),
    "empty": lambda x: x[:0].clone().reshape(0, 3),
    "empty_view": lambda x: x[5:5],
    "ones": lambda x: x[:1].clone().reshape(1, 1, 1),
    "overlapping": lambda x: x.as_strided((3, 4), (2, 1), 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", DTYPES)
def test_tensor(name, layout):
    theirs = LAYOUTS[layout](sample(name))
    file = torch_file(theirs)
    ours = load(file)
    same(ours, theirs)
    back = our_file(ours)
    same(ours, torch.load(back, weights_only=True))
    if layout not in ("ones", "empty"):
        identical(back, file)


def test_objects():
    shared = torch.arange(6.0)
    objects = {
        "list": [1, -1, 2**40, -(2**70), 1.5, float("inf"), True, False, None, "text", "ünï\udc80", b"", b"\x00\xff"],
        "nested": {"aa": [{"bb": (1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11), ())}], 5: {}, None: [], (1, "k"): {1, 2}},
        "ordered": collections.OrderedDict([("zz", 1), ("aa", 2)]),
        "counter": collections.Counter(["first", "second", "first"]),
        "size": torch.Size([2, 3]),
        "dtypes": [torch.float32, torch.uint16, torch.float8_e4m3fn],
        "devices": [torch.device("cpu"), torch.device("cuda", 1), torch.device("meta")],
        "complex": 3 - 2j,
        "bytearray": bytearray(b"ab"),
        "grad": torch.ones(2, requires_grad=True),
        "shared": [shared, shared, shared.view(2, 3), shared[1:4]],
        "layout": torch.strided.__repr__(),
        "meta": None,
    }
    file = torch_file(objects)
    ours = load(file)
    same(ours, objects)
    back = our_file(ours)
    identical(back, file)
    same(ours, torch.load(back, weights_only=False))
    a, b, c, d = ours["shared"]
    assert a is b and a._storage is c._storage and a._storage is d._storage


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol):
    theirs = {
        "x": torch.arange(4.0).view(2, 2).t(), "u": torch.ones(2, dtype=torch.uint32), "b": b"abc" * 100,
        "s": {1, "two"}, "o": collections.OrderedDict(a=1), "d": torch.float16, "n": [1, "a" * 300, ()],
        "array": np.arange(5, dtype=">i4"), "fortran": np.asfortranarray(np.ones((2, 3))),
    }  # fmt: skip
    file = torch_file(theirs, pickle_protocol=protocol)
    ours = load(file)
    file.seek(0)
    theirs = torch.load(file, weights_only=False)
    same(ours, theirs)
    same(load(our_file(ours, pickle_protocol=protocol)), theirs)
    read = torch.load(our_file(ours, pickle_protocol=protocol), weights_only=False)
    same(ours, read)


@pytest.mark.parametrize(
    "value",
    [
        np.float32(3), np.int8(-3), np.bool_(True), np.complex128(1 + 2j), np.arange(3), np.ones((2, 3))[:, ::2],
        np.array(["a", "bcd"]), np.array([b"xy"]), np.zeros((0, 2)), np.array(5.0), np.arange(4, dtype=">u2"),
        np.float64(2.5),
    ],
    ids=repr,
)  # fmt: skip
def test_numpy(value):
    file = torch_file([value])
    ours = load(file)
    file.seek(0)
    same(ours, torch.load(file, weights_only=False))
    same(ours, torch.load(our_file([value]), weights_only=False))


def test_numpy_dtype():
    assert load(torch_file(np.dtype(">f4"))) == np.dtype(">f4")


def test_state_dict_keeps_its_metadata():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))
    model[2].weight = torch.nn.Parameter(model[0].weight.detach().t())
    file = torch_file(model.state_dict())
    ours = load(file)
    same(ours, model.state_dict())
    assert ours._metadata == model.state_dict()._metadata
    assert ours["0.weight"]._storage is ours["2.weight"]._storage
    back = our_file(ours)
    identical(back, file)
    read = torch.load(back)
    assert read._metadata == model.state_dict()._metadata
    model.load_state_dict(read)
    assert read["0.weight"].data_ptr() == read["2.weight"].data_ptr()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "Adagrad"])
def test_optimizer_state(kind):
    model = torch.nn.Linear(3, 2)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    file = torch_file({"epoch": 3, "optimizer": optimizer.state_dict(), "model": model.state_dict()})
    ours = load(file)
    back = our_file(ours)
    identical(back, file)
    optimizer.load_state_dict(torch.load(back)["optimizer"])


def test_legacy_format():
    shared = torch.arange(12.0)
    theirs = {
        "x": shared.view(3, 4).t(), "y": shared[2:5], "e": torch.empty(0), "z": torch.tensor(3),
        "p": torch.ones(2, requires_grad=True), "h": torch.ones(3, dtype=torch.bfloat16), "n": [1, "a", None],
    }  # fmt: skip
    ours = load(torch_file(theirs, _use_new_zipfile_serialization=False))
    same(ours, theirs)
    assert ours["x"]._storage is ours["y"]._storage
    back = our_file(ours, _use_new_zipfile_serialization=False)
    same(load(back), theirs)
    back.seek(0)
    read = torch.load(back, weights_only=True)
    same(ours, read)
    assert read["x"].untyped_storage().data_ptr() == read["y"].untyped_storage().data_ptr()


def test_legacy_format_with_untyped_storages():
    # PyTorch writes these and cannot read them back (its reader asks the storage class for a dtype).
    theirs = [torch.ones(4, dtype=torch.uint16), torch.arange(1, 5, dtype=torch.uint8).view(torch.float8_e5m2)]
    ours = load(torch_file(theirs, _use_new_zipfile_serialization=False))
    same(ours, theirs)
    same(load(our_file(ours, _use_new_zipfile_serialization=False)), theirs)


def test_lazy_conj_and_neg_are_carried_out():
    x = torch.complex(torch.arange(3.0), torch.ones(3))
    theirs = [x.conj(), x.imag.clone(), x.conj().imag]
    ours = load(torch_file([theirs[0], theirs[1]]))
    assert raw(ours[0]) == raw(theirs[0].resolve_conj())
    negated = load(torch_file(theirs[2]))
    assert raw(negated) == raw(theirs[2].resolve_neg())


def test_meta_tensors():
    theirs = [torch.ones(2, 3, device="meta"), torch.ones(2, 3, device="meta").t()]
    ours = load(torch_file(theirs))
    for a, b in zip(ours, theirs):
        assert a.device.type == "meta" and tuple(a.shape) == tuple(b.shape) and tuple(a.stride()) == b.stride()
    read = torch.load(our_file(ours))
    assert [t.stride() for t in read] == [t.stride() for t in theirs]


def test_map_location_meta_and_function():
    file = torch_file({"x": torch.arange(3.0)})
    assert load(file, map_location="meta")["x"].device.type == "meta"
    seen = []
    file.seek(0)
    ours = load(file, map_location=lambda storage, location: seen.append((storage.nbytes(), location)))
    same(ours, {"x": torch.arange(3.0)})
    assert seen == [(12, "cpu")]


@pytest.mark.parametrize("order", ["big", "little"])
def test_big_endian_archives(order):
    """An archive as a big-endian machine writes it: every storage swapped, and the byteorder record says so."""
    theirs = {n: sample(n) for n in ("float32", "float64", "int16", "complex64", "bfloat16", "bool", "uint8", "uint16")}
    source = zipfile.ZipFile(torch_file(theirs))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name.startswith("archive/data/") and order == "big":
                tensor = list(theirs.values())[int(name.rsplit("/", 1)[1])]
                unit = tensor.element_size() // (2 if tensor.is_complex() else 1)
                data = np.frombuffer(data, f"u{unit}").byteswap().tobytes()
            archive.writestr(name, order if name.endswith("byteorder") else data)
    target.seek(0)
    same(load(target), theirs)


def test_tensor_attributes_survive():
    theirs = [torch.ones(2), torch.ones(2)]
    theirs[0].note = "kept"
    file = torch_file(theirs)
    ours = load(file)
    assert ours[0].note == "kept"
    identical(our_file(ours), file)


class Net(torch.nn.Module):
    """A class of the user's, which no file may bring to life by itself."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.ones(2))


def test_unknown_classes():
    file = torch_file({"net": Net(), "x": torch.ones(2)})
    with pytest.raises(
        Exception, match=r"Unsupported global: GLOBAL .*Net was not an allowed global by default"
    ) as info:
        load(file)
    assert "add_safe_globals" in str(info.value) and type(info.value).__name__ == "UnpicklingError"
    file.seek(0)
    with pytest.raises(Exception, match="add_safe_globals") as theirs:
        torch.load(file)
    assert type(theirs.value) is type(info.value)
    file.seek(0)
    ours = load(file, weights_only=False)
    assert isinstance(ours["net"], Stub) and ours["net"].class_name.endswith("Net")
    assert ours["net"].state["training"] is True
    same(ours["x"], torch.ones(2))
    file.seek(0)
    unsafe = get_unsafe_globals_in_checkpoint(file)
    assert any(name.endswith(".Net") for name in unsafe)
    file.seek(0)
    assert set(unsafe) == set(torch.serialization.get_unsafe_globals_in_checkpoint(file))


def test_registered_classes_are_built():
    file = torch_file(Point(1, torch.ones(2)))
    with safe_globals([Point]):
        ours = load(file)
    assert type(ours) is Point and ours.x == 1
    same(ours.y, torch.ones(2))
    file.seek(0)
    assert isinstance(load(file, weights_only=False), Stub)


class Point:
    """A plain class."""

    def __init__(self, x, y):
        self.x, self.y = x, y


def test_user_classes_are_saved_by_reference():
    read = torch.load(our_file(Point(3, [1])), weights_only=False)
    assert type(read) is Point and (read.x, read.y) == (3, [1])


def test_checksums_may_be_absent(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        file = torch_file(torch.ones(3))
    finally:
        torch.serialization.set_crc32_options(True)
    same(load(file), torch.ones(3))


def test_paths_and_mmap(tmp_path):
    theirs = {"a": torch.arange(1000.0), "b": torch.arange(5, dtype=torch.int16), "e": torch.empty(0)}
    for name in ("model.pt", "no_extension", "ünicode.pt", "a.b.c.pt"):
        torch.save(theirs, tmp_path / ("t_" + name))
        save(load(tmp_path / ("t_" + name), mmap=True), tmp_path / name)
        same(load(tmp_path / name, mmap=True), theirs)
        same(load(tmp_path / name), torch.load(tmp_path / name, mmap=True))
        torch.save(theirs, tmp_path / name)
        want = zipfile.ZipFile(tmp_path / name).namelist()
        save(load(tmp_path / ("t_" + name)), tmp_path / name)
        assert zipfile.ZipFile(tmp_path / name).namelist() == want


def test_torch_computes_the_same_offsets(tmp_path):
    """PyTorch can compute where records lie instead of reading it; that works only on its own layout."""
    from torch.utils.serialization import config

    theirs = {str(n): torch.arange(float(n)) for n in (1, 0, 7, 100, 16)}
    save(load(torch_file(theirs)), tmp_path / "x.pt")
    config.load.calculate_storage_offsets = True
    try:
        read = torch.load(tmp_path / "x.pt", mmap=True)
    finally:
        config.load.calculate_storage_offsets = False
    assert all(torch.equal(read[k], theirs[k]) for k in theirs)


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"script/{name}", "3\n")
    with pytest.raises(RuntimeError, match="Cannot use ``weights_only=True`` with TorchScript archives") as info:
        load(path)
    assert "state_dict" in str(info.value)
    with (
        pytest.warns(UserWarning, match="looks like a TorchScript archive"),
        pytest.raises(RuntimeError, match="Cannot use ``weights_only=True`` with TorchScript archives"),
    ):
        torch.load(path)


def test_same_errors(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("missing.pt", "folder", "empty"):
        raised = []
        for reader in (torch.load, load):
            with pytest.raises((OSError, EOFError)) as info:
                reader(tmp_path / name)
            raised.append(info.type)
        assert raised[0] is raised[1], name
    for target in (tmp_path / "no" / "x.pt", tmp_path / "folder"):
        for writer in (torch.save, save):
            with pytest.raises(RuntimeError):
                writer({}, target)
    file = torch_file(torch.ones(1))
    for reader in (torch.load, load):
        with pytest.raises(RuntimeError, match="don't know how to restore data location"):
            file.seek(0)
            reader(file, map_location="ipu")
        file.seek(0)
        with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
            reader(file, mmap=True)
        with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module"):
            reader(file, pickle_module=io, weights_only=True)
        with pytest.raises(AttributeError, match=r"You can only torch.load from a file that is seekable"):
            reader(3)
    for writer in (torch.save, save):
        with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object"):
            writer({}, 3)


def test_version_of_the_library_is_not_in_the_file():
    assert b"rushlight" not in our_file({"x": load(torch_file(torch.ones(2)))}).getvalue()


def test_parameters():
    pytest.importorskip("rushlight.nn.parameter")
    theirs = [torch.nn.Parameter(torch.arange(6.0).view(2, 3).t()), torch.nn.Parameter(torch.ones(2), False)]
    theirs[1].note = {"kept": 1}
    file = torch_file([*theirs, theirs[0]])
    ours = load(file)
    same(ours[:2], theirs)
    assert [type(p).__name__ for p in ours] == ["Parameter"] * 3
    assert ours[0] is ours[2] and ours[1].note == {"kept": 1}
    identical(our_file(ours), file)


def test_whole_modules():
    pytest.importorskip("rushlight.nn.modules.linear")
    nn = pytest.importorskip("rushlight.nn")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    file = torch_file(theirs)
    with pytest.raises(Exception, match=r"GLOBAL torch.nn.modules.container.Sequential was not an allowed global"):
        load(file)
    file.seek(0)
    ours = load(file, weights_only=False)
    assert type(ours) is nn.Sequential and type(ours[0]) is nn.Linear and repr(ours) == repr(theirs)
    same(ours.state_dict(), theirs.state_dict())
    x = torch.arange(3.0)
    out = ours(Tensor._of(np_to_jax(x)))
    assert np.allclose(np.asarray(out._array()), theirs(x).detach().numpy(), atol=1e-6)
    read = torch.load(our_file(ours), weights_only=False)
    assert repr(read) == repr(theirs) and torch.equal(read(x), theirs(x))
    read.train().register_forward_hook(lambda *args: None)
    file.seek(0)
    with safe_globals([nn.Sequential, nn.Linear, nn.ReLU, set]):
        assert type(load(file)) is nn.Sequential


def np_to_jax(tensor):
    import jax

    return jax.device_put(tensor.numpy())
