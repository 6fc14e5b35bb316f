"""Owns the tests of checkpoints that need no PyTorch: files on disk, sharing, locations, stubs, and the tar format.

May import rushlight, jax and numpy.
"""

from __future__ import annotations

import argparse
import collections
import doctest
import importlib
import io
import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import textwrap
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from rushlight import dtypes
from rushlight._device import device
from rushlight._tensor.tensor import Tensor
from rushlight.checkpoint import (
    Stub,
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    load,
    safe_globals,
    save,
)
from rushlight.checkpoint.archive_writer import ArchiveWriter


def round_trip(obj, **options):
    file = io.BytesIO()
    save(obj, file)
    file.seek(0)
    return load(file, **options)


def of(values, dtype=np.float32) -> Tensor:
    return Tensor._of(jnp.asarray(np.asarray(values, dtype)))


@pytest.mark.parametrize("name", dtypes.ALL)
def test_every_dtype(name):
    values = np.arange(6).astype(dtypes.ALL[name].np).reshape(2, 3)
    found = round_trip(of(values, values.dtype))
    assert found.dtype is dtypes.ALL[name]
    assert np.asarray(found._array()).tobytes() == values.tobytes() and tuple(found.shape) == (2, 3)


def test_sharing_survives_and_writing_shows_it():
    base = of(np.arange(12.0)).view(3, 4)
    found = round_trip({"base": base, "again": base, "row": base[1], "turned": base.t(), "other": of([0.0])})
    assert found["base"] is found["again"]
    storages = [found[k]._storage for k in ("base", "row", "turned")]
    assert storages[0] is storages[1] is storages[2] and found["other"]._storage is not storages[0]
    found["turned"]._write(jnp.zeros((4, 3), np.float32))
    assert found["row"].tolist() == [0.0] * 4 and found["base"].tolist() == [[0.0] * 4] * 3
    found["row"]._write(jnp.ones(4, np.float32))
    assert found["turned"].tolist() == [[0.0, 1.0, 0.0]] * 4


def test_a_view_carries_its_whole_storage_as_in_torch():
    found = round_trip(of(np.arange(100.0))[10:13])
    assert found.storage_offset() == 10 and found.untyped_storage().nbytes() == 400


def test_loaded_tensors_are_leaves_that_can_be_trained():
    leaf = round_trip(of([1.0, 2.0]).requires_grad_(True))
    assert leaf.requires_grad and leaf.is_leaf and leaf._base is None
    (leaf * leaf).sum().backward()
    assert leaf.grad.tolist() == [2.0, 4.0]


def test_hooks_are_not_saved_and_that_is_said():
    leaf = of([1.0]).requires_grad_(True)
    leaf.register_hook(lambda grad: None)
    with pytest.warns(UserWarning, match="backward hook .* on tensor will not be serialized"):
        found = round_trip(leaf)
    assert found.requires_grad and not found._hooks


def test_storages_are_used_without_a_copy(tmp_path):
    """XLA takes an aligned buffer as it is; a donated one is not written to, so the file stays as it was."""
    import jax

    path = tmp_path / "x.pt"
    save(of(np.zeros(5000)), path)
    before = path.read_bytes()
    for mapped in (False, True):
        tensor = load(path, mmap=mapped)
        array = tensor._array()
        assert array.unsafe_buffer_pointer() % 64 == 0
        out = jax.jit(lambda x: x + 1, donate_argnums=0)(array)
        assert float(out.sum()) == 5000
    assert path.read_bytes() == before


def test_records_are_aligned():
    file = io.BytesIO()
    save({str(n): of(np.arange(n)) for n in range(20)}, file)
    for info in zipfile.ZipFile(file).infolist():
        assert info.compress_type == zipfile.ZIP_STORED
        head = file.getvalue()[info.header_offset :]
        assert (info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))) % 64 == 0, info.filename
    assert zipfile.ZipFile(file).testzip() is None


def test_archives_beyond_four_gigabytes_use_wide_numbers(tmp_path):
    """A sparse file stands for the first 4 GiB, so the test writes only a few kilobytes."""
    path, gap = tmp_path / "big.pt", 1 << 32
    with open(path, "wb") as file:
        writer = ArchiveWriter(file.write)
        writer.add("data.pkl", b"\x80\x02N.")
        hole = gap - writer._position
        file.seek(gap)
        writer._position = gap
        writer.add("byteorder", b"little")
        writer.finish()
    assert hole > 0 and path.stat().st_blocks * 512 < 1 << 24
    infos = {i.filename: i for i in zipfile.ZipFile(path).infolist()}
    assert infos["archive/byteorder"].header_offset == gap
    assert load(path) is None


def test_metadata_and_attributes():
    state = collections.OrderedDict(weight=of([1.0]))
    state._metadata = {"": {"version": 1}}
    found = round_trip(state)
    assert type(found) is collections.OrderedDict and found._metadata == {"": {"version": 1}}
    tensor = of([1.0])
    tensor.note = "kept"
    assert round_trip(tensor).note == "kept"


def test_map_location():
    file = io.BytesIO()
    save({"x": of([1.0, 2.0])}, file)
    seen = []

    def choose(storage, location):
        seen.append((storage.device, location, storage.dtype, len(storage)))
        return storage.cpu()

    for where in (
        "cpu",
        device("cpu"),
        {"cpu": "cpu"},
        {"cuda:0": "cpu"},
        choose,
        lambda storage, location: None,
        b"cpu",
    ):
        file.seek(0)
        assert load(file, map_location=where)["x"].tolist() == [1.0, 2.0]
    assert seen == [(device("cpu"), "cpu", dtypes.float32, 2)]
    for where, error, message in (
        (3, TypeError, "argument 'map_location' must be"),
        (lambda storage, location: "cpu", TypeError, "expected None or a storage, received str"),
        ("bogus", RuntimeError, r"don't know how to restore data location .* \(tagged with bogus\)"),
        ({"cpu": "ipu"}, RuntimeError, r"\(tagged with ipu\)"),
    ):
        file.seek(0)
        with pytest.raises(error, match=message):
            load(file, map_location=where)
    file.seek(0)
    with pytest.raises(KeyError, match="mine"):
        load(file, map_location=lambda storage, location: {}["mine"])
    file.seek(0)
    assert load(file, map_location="meta")["x"].is_meta


def test_a_storage_of_a_missing_gpu_names_the_remedy(monkeypatch):
    monkeypatch.setattr("rushlight.checkpoint.storages.present", lambda kind: [])
    file = io.BytesIO()
    save(of([1.0]), file)
    body = zipfile.ZipFile(file).read("archive/data.pkl").replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    moved = io.BytesIO()
    writer = ArchiveWriter(moved.write)
    writer.add("data.pkl", body)
    writer.add("data/0", np.float32([1]).tobytes())
    writer.finish()
    moved.seek(0)
    with pytest.raises(RuntimeError, match=r"CUDA device but torch.cuda.is_available\(\) is False"):
        load(moved)
    moved.seek(0)
    assert load(moved, map_location={"cuda:0": "cpu"}).tolist() == [1.0]
    moved.seek(0)
    assert load(moved, map_location=lambda storage, location: storage).tolist() == [1.0]


# -- what may be built ----------------------------------------------------------------------------------------------


@pytest.fixture
def clean_registry():
    before = get_safe_globals()
    yield
    clear_safe_globals()
    add_safe_globals(before)


def test_registry(clean_registry):
    args = argparse.Namespace(lr=0.1)
    with pytest.raises(pickle.UnpicklingError, match=r"add_safe_globals\(\[argparse.Namespace\]\)"):
        round_trip(args)
    assert round_trip({"args": args}, weights_only=False)["args"] == args
    mine = Mine()
    mine.lr = 0.1
    stub = round_trip({"args": mine}, weights_only=False)["args"]
    assert isinstance(stub, Stub) and stub.state == {"lr": 0.1} and not stub.is_reference
    with pytest.raises(AttributeError, match=r"'.*Mine' was not built .*\.state"):
        _ = stub.lr
    with pytest.raises(TypeError, match="was not built"):
        stub()
    with safe_globals([argparse.Namespace]):
        assert round_trip(args) == args and round_trip(args, weights_only=False) == args
        assert argparse.Namespace in get_safe_globals()
    assert argparse.Namespace not in get_safe_globals()
    with safe_globals([Mine]):
        assert type(round_trip(mine)) is Mine
    add_safe_globals([(argparse.Namespace, "other.place.Arguments")])
    body = b"\x80\x02cother.place\nArguments\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    file = io.BytesIO()
    writer = ArchiveWriter(file.write)
    writer.add("data.pkl", body)
    writer.finish()
    file.seek(0)
    assert load(file) == argparse.Namespace(a=1)
    clear_safe_globals()
    assert get_safe_globals() == []
    file.seek(0)
    assert get_unsafe_globals_in_checkpoint(file) == ["other.place.Arguments"]
    with pytest.raises(ValueError, match="Expected tuple of length 2"):
        add_safe_globals([(int, "a", "b")])
    with pytest.raises(TypeError, match="Expected second item in tuple to be str"):
        add_safe_globals([(int, 3)])


class Mine:
    """A class that only this module has."""


class Odd(list):
    """Pickles with items, entries and a state at once."""


def test_stubs_keep_everything_that_was_saved():
    odd = Odd([1, 2])
    odd.note = "n"
    stub = round_trip(odd, weights_only=False)
    assert stub.class_name.endswith(".Odd") and stub.items == [1, 2] and stub.state == {"note": "n"}
    assert repr(stub) == f"<Stub {stub.class_name}: state with 1 entries, 2 items>"
    stub = round_trip(collections.UserDict(a=1), weights_only=False)
    assert stub.state == {"data": {"a": 1}}
    stub = round_trip(collections.UserDict, weights_only=False)
    assert stub.is_reference and repr(stub) == "<Stub collections.UserDict: reference>"


# -- saving ---------------------------------------------------------------------------------------------------------


def test_arguments_of_save_and_load(tmp_path):
    with pytest.raises(NotImplementedError, match="pickle_module"):
        save({}, io.BytesIO(), pickle_module=json_module())
    with pytest.raises(NotImplementedError, match="pickle_protocol=1"):
        save({}, io.BytesIO(), pickle_protocol=1)
    save({}, tmp_path / "x.pt")
    with pytest.raises(NotImplementedError, match="pickle_module"):
        load(tmp_path / "x.pt", pickle_module=json_module(), weights_only=False)
    assert load(tmp_path / "x.pt", pickle_module=pickle, weights_only=False) == {}
    save(of([1.0]), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        load(tmp_path / "old.pt", mmap=True)


def json_module():
    import json

    return json


def test_what_torch_does_not_have_cannot_be_saved():
    with pytest.raises(pickle.PicklingError, match=r"rushlight's own .*finfo"):
        save(dtypes.finfo(dtypes.float32), io.BytesIO())


def test_one_storage_as_two_dtypes_is_refused():
    tensor = of([1.0, 2.0], np.complex64)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        save([tensor, tensor.real], io.BytesIO())
    found = round_trip(tensor.imag)
    assert found.tolist() == [0.0, 0.0] and found.stride() == (2,) and found.storage_offset() == 1


class Unwilling:
    def __reduce__(self):
        raise ValueError("no")


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    save("old", path)
    before = path.read_bytes()
    for bad in ({"a": of([1.0]), "b": Unwilling()}, [lambda: 0]):
        with pytest.raises((ValueError, pickle.PicklingError, AttributeError)):
            save(bad, path)
    # An error after the first records are on their way, and one in the last step.
    add = ArchiveWriter.add

    def broken(self, name, data, *rest):
        if name == "data/1":
            raise OSError("disk full")
        add(self, name, data, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(ArchiveWriter, "add", broken)
        with pytest.raises(OSError, match="disk full"):
            save([of([1.0]), of([2.0])], path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda a, b: (_ for _ in ()).throw(OSError("busy")))
        with pytest.raises(OSError, match="busy"):
            save("new", path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.pt"]
    save("new", path)
    assert load(path) == "new" and os.listdir(tmp_path) == ["x.pt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    save("old", path)
    script = f"""
        import os, signal
        import jax.numpy as jnp
        from rushlight._tensor.tensor import Tensor
        from rushlight.checkpoint import save
        from rushlight.checkpoint.archive_writer import ArchiveWriter

        add = ArchiveWriter.add
        def stop(self, name, data, *rest):
            if name == "data/1":
                os.kill(os.getpid(), signal.SIGKILL)
            add(self, name, data, *rest)
        ArchiveWriter.add = stop
        save([Tensor._of(jnp.ones(100000)), Tensor._of(jnp.ones(3))], {str(path)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert load(path) == "old"
    left = [name for name in os.listdir(tmp_path) if name != "x.pt"]
    assert all(name.startswith(".x.pt.") and name.endswith(".tmp") for name in left)


def test_modes_links_and_special_files(tmp_path):
    target, link = tmp_path / "real.pt", tmp_path / "link.pt"
    save(1, target)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.chmod(0o640)
    link.symlink_to(target)
    save(2, link)
    assert link.is_symlink() and load(target) == 2 and stat.S_IMODE(target.stat().st_mode) == 0o640
    save(3, "/dev/null")
    save(4, str(target).encode() and str(target))
    long = tmp_path / ("n" * 250)
    save(5, long)
    assert load(long) == 5


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save([1], "here.pt")
    assert load("here.pt") == [1]
    with pytest.raises(RuntimeError, match=r"Parent directory .*nowhere does not exist"):
        save([1], "nowhere/x.pt")
    with pytest.raises(RuntimeError, match="received a directory"):
        save([1], ".")


class WriteOnly:
    """A pipe: nothing but ``write``."""

    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(bytes(data))


def test_a_target_needs_only_write():
    target = WriteOnly()
    save({"x": of([1.0])}, target)
    assert load(io.BytesIO(b"".join(target.parts)))["x"].tolist() == [1.0]


def test_archives_inside_other_files():
    file = io.BytesIO()
    file.write(b"prefix" * 10)
    save([1, of([2.0])], file)
    file.seek(60)
    assert load(file)[0] == 1


# -- older formats --------------------------------------------------------------------------------------------------


def test_legacy_files_hold_several_objects_in_a_row():
    file = io.BytesIO()
    for value in ({"x": of([1.0, 2.0])}, {"x": of([3.0])}):
        save(value, file, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert load(file)["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("big", [False, True])
def test_legacy_views_modules_and_byte_order(big):
    """What only old writers produced: windows on storages, classes with their source, another byte order."""
    order = ">" if big else "<"
    file = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": not big}):
        file.write(pickle.dumps(part, protocol=2))
    kind, root = "ctorch\nFloatStorage\n", "X\x01\x00\x00\x007X\x03\x00\x00\x00cpu"
    pid = f"(X\x07\x00\x00\x00storage{kind}{root}K\x06".encode()
    view = pid + b"(X\x01\x00\x00\x008K\x02K\x03ttQ"
    module = b"(X\x06\x00\x00\x00modulecmylib\nNet\nNNtQ"
    build = b"ctorch._utils\n_rebuild_tensor_v2\n(%sK\x00K\x03\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    file.write(b"\x80\x02]" + build % view + b"a" + build % view + b"a" + module + b")\x81a.")
    file.write(pickle.dumps(["7"], protocol=2))
    file.write(struct.pack(order + "q6f", 6, *range(6)))
    file.seek(0)
    first, second, net = load(file, weights_only=False)
    assert first.tolist() == [2.0, 3.0, 4.0] and first._storage is second._storage
    assert isinstance(net, Stub) and net.class_name == "mylib.Net"


def tar_file() -> bytes:
    """A checkpoint as PyTorch 0.1.9 wrote it: three members, tensors by their storages' keys."""

    def dump(*values) -> bytes:
        return b"".join(value if isinstance(value, bytes) else pickle.dumps(value, protocol=2) for value in values)

    entry = b"\x80\x02(K\x0bX\x03\x00\x00\x00cpuctorch\nFloatStorage\nt."
    storages = dump(1, entry, struct.pack("<q6f", 6, *range(6)), [(12, 11, 2, 4)])
    tensors = dump(
        2, b"\x80\x02(K\x15K\x0bctorch\nFloatTensor\nt.", struct.pack("<i4x5q", 2, 2, 3, 3, 1, 0),
        b"\x80\x02(K\x16K\x0cctorch\nFloatTensor\nt.", struct.pack("<i4x3q", 1, 4, 1, 0),
    )  # fmt: skip
    body = b"\x80\x02}(X\x01\x00\x00\x00aX\x02\x00\x00\x0021QX\x01\x00\x00\x00bX\x02\x00\x00\x0022Qu."
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", body)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def test_tar_format():
    data = tar_file()
    with pytest.raises(
        RuntimeError, match=r"Cannot use ``weights_only=True`` with files saved in the legacy .tar format"
    ):
        load(io.BytesIO(data))
    found = load(io.BytesIO(data), weights_only=False)
    assert found["a"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] and found["b"].tolist() == [2.0, 3.0, 4.0, 5.0]
    for end in range(0, 3 * 1024, 64):
        with pytest.raises((RuntimeError, pickle.UnpicklingError, EOFError)):
            load(io.BytesIO(data[:end]), weights_only=False)


def test_strings_of_python_2():
    file = io.BytesIO()
    writer = ArchiveWriter(file.write)
    writer.add("data.pkl", b"\x80\x02U\x02\xe4\xf6.")
    writer.finish()
    for encoding, value in (("latin1", "äö"), ("bytes", b"\xe4\xf6")):
        file.seek(0)
        assert load(file, encoding=encoding) == value
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="UnicodeDecodeError"):
        load(file)


@pytest.mark.parametrize("name", ["serialization", "allowlist", "stub", "atomic"])
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"rushlight.checkpoint.{name}"))
    assert result.attempted and not result.failed
