"""Owns ``save`` and ``load``: torch's file format in both directions, with nothing in a file ever imported or called.

May import this folder.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import PurePath

import numpy as np

from rushlight._errors import not_supported

from . import hub, legacy, progress, safetensors_files, shards
from .allowlist import Policy
from .archive_reader import ArchiveReader
from .archive_writer import ALIGNMENT, ArchiveWriter
from .atomic import replacing
from .brief import brief
from .pickler import Pickler, byte_order
from .storages import StorageTable, text
from .unpickler import Unpickler

DEFAULT_PROTOCOL = 2


def _is_path(f) -> bool:
    return isinstance(f, (str, os.PathLike))


def save(
    obj,
    f,
    pickle_module=pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Save an object to a file that PyTorch reads; tensors that share memory share it in the file.

    A path is replaced in one step once everything is written, so a failure leaves the old file as it was; what a killed
    process left beside it (``.name.PID-*.tmp``) goes with the next save. On a terminal
    a bar shows the progress of long writes.

    Args:
        obj: tensors, modules, optimizer states, Python's containers and numbers, in any nesting.
        f: a path, or an object with ``write``. ``*.safetensors`` and ``*.safetensors.index.json`` (several files)
            are written in that format, and hold tensors alone.
        pickle_module: the standard ``pickle``; no other is supported.
        pickle_protocol: 2 to 5.

    Raises:
        RuntimeError: the folder does not exist, or the path is a folder.
        PicklingError: an object cannot be saved.
        NotImplementedError: another pickle module, or another protocol.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save({"epoch": 3}, file)
        >>> _ = file.seek(0)
        >>> load(file)
        {'epoch': 3}
    """
    if pickle_module is not pickle and pickle_module is not None:
        raise not_supported(f"save(pickle_module={pickle_module!r})", "Leave pickle_module out.")
    if pickle_protocol not in (2, 3, 4, 5):
        raise not_supported(f"save(pickle_protocol={pickle_protocol!r})", "Use 2 (the default) to 5.")
    if not _is_path(f):
        if not hasattr(f, "write"):
            raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
        _write(obj, f.write, "archive", pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record)
        return
    name = os.fsdecode(f)
    if name.endswith(".safetensors"):
        safetensors_files.save_file(obj, f)
        return
    if name.endswith(".safetensors" + shards.INDEX):
        shards.save_sharded(obj, f)
        return
    stem = PurePath(os.fsdecode(f)).name.rpartition(".")[0] or PurePath(os.fsdecode(f)).name
    root = stem if stem.isascii() and stem.strip(".") else "archive"
    with replacing(f) as file:
        _write(obj, file.write, root, pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record)


def _write(obj, write, root: str, protocol: int, as_zip: bool, no_byte_order: bool) -> None:
    if not as_zip:
        legacy.save(obj, write, protocol)
        return
    body = io.BytesIO()
    pickler = Pickler(body, protocol)
    pickler.dump(obj)
    archive = ArchiveWriter(write, root)
    archive.add("data.pkl", body.getbuffer())
    archive.add(".format_version", b"1")
    archive.add(".storage_alignment", str(ALIGNMENT).encode())
    if not no_byte_order:
        archive.add("byteorder", byte_order().encode())
    with progress.shown("saving", sum(flat.nbytes for flat in pickler.storages.values())) as advance:
        for key, flat in pickler.storages.items():
            archive.add(f"data/{key}", flat.view(np.uint8), advance)
        archive.finish()


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, encoding: str = "utf-8"):
    """Read what ``save`` or PyTorch's ``torch.save`` wrote, or a safetensors file.

    Nothing that a file says is ever imported or called: a closed list of types is built, and what is not on it is
    refused (``weights_only=True``) or becomes a :class:`Stub` that can be looked at (``weights_only=False``).
    ``add_safe_globals`` adds to the list.

    Args:
        f: a path, or an object with ``read``, ``readline``, ``seek`` and ``tell``. ``*.safetensors`` and the
            ``*.index.json`` of a sharded set are told by their names; ``hf://organisation/name`` is fetched from the
            Hugging Face hub, with ``@revision`` and ``/path/to/file`` where wanted.
        map_location: where storages go: None (where they were), a device, its name, a dict from old to new names,
            or a function of (storage, location) that gives a storage or None.
        pickle_module: None, or the standard ``pickle`` with ``weights_only=False``.
        weights_only: True (the default): tensors, containers and registered types. False: modules and optimizers too,
            and stubs for everything else.
        mmap: map the file instead of reading it; its checksums are then not looked at, and the file must not be
            changed in place while tensors from it live.
        encoding: of strings that Python 2 wrote.

    Raises:
        UnpicklingError: the file holds something that is not allowed, or is damaged.
        RuntimeError: the archive is broken, or the device is missing.
        FileNotFoundError, IsADirectoryError, EOFError: there is no file, it is a folder, it is empty.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save([1, 2.5, "three"], file)
        >>> _ = file.seek(0)
        >>> load(file, map_location="cpu")
        [1, 2.5, 'three']
    """
    weights_only = True if weights_only is None else bool(weights_only)
    if pickle_module is not None:
        if weights_only:
            raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
        if pickle_module is not pickle:
            raise not_supported(f"load(pickle_module={pickle_module!r})", "Leave pickle_module out.")
    if mmap and not _is_path(f):
        raise ValueError("f must be a file path in order to use the mmap argument")
    try:
        if not _is_path(f):
            return _load(_seekable(f), None, map_location, weights_only, encoding)
        name = os.fsdecode(f)
        if name.startswith("hf://"):
            return load(hub.fetch(name), map_location, weights_only=weights_only, mmap=mmap, encoding=encoding)
        if name.endswith(".safetensors"):
            return safetensors_files.load_file(f, map_location, bool(mmap))
        if name.endswith(shards.INDEXES):
            return shards.load_sharded(f, lambda path: load(path, map_location, mmap=mmap))
        with open(f, "rb") as file:
            return _load(file, f if mmap else None, map_location, weights_only, encoding)
    except pickle.UnpicklingError as error:
        if weights_only:
            raise pickle.UnpicklingError(_explain(str(error))) from error
        raise


def _seekable(f):
    for name in ("seek", "tell", "read", "readline"):
        if not hasattr(f, name):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{name}'. You can only torch.load from a file that is "
                "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    return f


def _explain(message: str) -> str:
    """torch's opening, and what can be done."""
    remedy = (
        "Register the class with `torch.serialization.add_safe_globals`, or load with `weights_only=False`, where "
        "unknown classes become stubs; rushlight executes nothing from a file in either case."
        if "allowed global" in message
        else "The file names what only code that is to be run would need: do not open it with PyTorch or pickle. "
        "rushlight executes nothing from a file, and `rushlight verify` lists what this one names."
        if "is blocked" in message
        else "Load with `weights_only=False`, where such arrays become stubs; rushlight executes nothing from a file."
        if "numpy dtype" in message
        else "rushlight executes nothing from a file; get the file again from its source."
    )
    return f"Weights only load failed. {remedy}\n\tWeightsUnpickler error: {message}"


def _load(file, mapped_path, map_location, weights_only: bool, encoding: str):
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if not head:
        what = f"nothing after position {start}. Call seek(0) on the file first." if start else "an empty file."
        raise EOFError(f"Ran out of input: expected a checkpoint, received {what}")
    if head != b"PK\x03\x04":
        if mapped_path is not None:
            raise RuntimeError(
                "mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True)`, please "
                "torch.save your checkpoint with this option in order to use mmap."
            )
        return legacy.load(file, map_location, weights_only, encoding)
    mapped = None if mapped_path is None else np.memmap(mapped_path, np.uint8, "r").view(np.ndarray)
    archive = ArchiveReader(file, mapped)
    order = archive.read("byteorder") if "byteorder" in archive else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"Unknown endianness type: {order.decode('ascii', 'replace')}")

    def fetch(key: str, size: int) -> np.ndarray:
        name = f"data/{key}"
        if archive.size(name) != size:
            raise RuntimeError(
                f"PytorchStreamReader failed: record {name!r} has {archive.size(name)} bytes, expected {size}. The "
                "file is damaged. Save or download it again."
            )
        return archive.array(name)

    table = StorageTable(fetch, map_location, order == b"big", mapped is not None)

    def persistent(pid):
        if not isinstance(pid, tuple) or len(pid) != 5 or text(pid[0]) != "storage":
            raise pickle.UnpicklingError(f"Only persistent_load of storage is allowed, but got {brief(pid)}")
        return table.get(*pid[1:])

    try:
        found = Unpickler(io.BytesIO(archive.read("data.pkl")), Policy(weights_only), persistent, encoding).load()
        archive.verify()
    finally:
        archive.close()
    return found


def get_unsafe_globals_in_checkpoint(f) -> list[str]:
    """The names in a checkpoint that ``load(f, weights_only=True)`` would refuse.

    Args:
        f: a path, or a seekable file object, of the zip format.

    Raises:
        ValueError: the file is of another format.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save({"epoch": 3}, file)
        >>> _ = file.seek(0)
        >>> get_unsafe_globals_in_checkpoint(file)
        []
    """
    if _is_path(f):
        with open(f, "rb") as file:
            return get_unsafe_globals_in_checkpoint(file)
    start = f.tell()
    head = f.read(4)
    f.seek(start)
    if head != b"PK\x03\x04":
        raise ValueError("Expected input to be a checkpoint returned by torch.save but got a file of another format")
    policy, unsafe = Policy(True), []
    for path in global_names(f):
        try:
            policy.find(*path.rsplit(".", 1))
        except pickle.UnpicklingError:
            unsafe.append(path)
    return unsafe


def global_names(f) -> list[str]:
    """Every class and function that a checkpoint of any of torch's formats names; nothing is built.

    Args:
        f: a path, or a seekable file object.

    Raises:
        UnpicklingError, RuntimeError: the file is damaged, or no checkpoint.
    """
    if _is_path(f):
        with open(f, "rb") as file:
            return global_names(file)
    start = f.tell()
    head = f.read(4)
    f.seek(start)
    if head == b"PK\x03\x04":
        return legacy.scan(io.BytesIO(ArchiveReader(f).read("data.pkl")), "utf-8")[1]
    return legacy.global_names(f)
