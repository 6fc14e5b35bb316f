"""Owns the formats that torch wrote before its zip archives: the plain one (0.1.10 to 1.5) and the tar one (before).

May import this folder and the standard library. Nothing is unpacked to disk.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import sys
import tarfile
from collections.abc import Callable
from typing import Any

import numpy as np

from . import progress, rebuild
from .allowlist import Policy
from .archive_reader import aligned_bytes, fill, remaining
from .brief import brief
from .other_files import described
from .pickler import Pickler
from .storages import LoadedStorage, StorageTable, StorageType, text
from .stub import Stub
from .unpickler import Unpickler

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class _Scan(Policy):
    """Builds nothing: learns which storages a pickle refers to, and where it ends."""

    def __init__(self) -> None:
        super().__init__(False)
        self.names: dict[str, None] = {}

    def find(self, module: str, name: str):
        self.names[f"{module}.{name}"] = None
        found = super().find(module, name) if name.endswith("Storage") else None
        return found if isinstance(found, StorageType) else Stub(f"{module}.{name}", home=(module, name))


def scan(file, encoding: str) -> tuple[list[tuple], list[str]]:
    """The persistent ids and the global names in the pickle at the file's position, without building anything."""
    seen: list[tuple] = []

    def note(pid):
        seen.append(pid if isinstance(pid, tuple) else (pid,))
        return Stub("storage")

    policy = _Scan()
    Unpickler(file, policy, note, encoding).load()
    return seen, list(policy.names)


def global_names(file) -> list[str]:
    """Every class and function that a file of the plain or the tar format names."""
    start = file.tell()
    if start == 0 and _is_tar(file):
        with tarfile.open(fileobj=file, mode="r:") as tar:
            found: dict[str, None] = {}
            for name in ("storages", "tensors", "pickle"):
                member = tar.extractfile(name)
                assert member is not None
                # A count, and a class for each of so many; numbers that are no pickle follow the first.
                with contextlib.suppress(EOFError):
                    for _ in range(2 if name != "pickle" else 1):
                        found |= dict.fromkeys(scan(member, "utf-8")[1])
            return list(found)
    file.seek(start)
    _check_start(file, start)
    names: dict[str, None] = {}
    for _ in range(4):  # magic number, version, system, and the object
        names |= dict.fromkeys(scan(file, "utf-8")[1])
    return list(names)


def _nothing(pid):
    raise pickle.UnpicklingError(
        f"header of a checkpoint: expected plain values, received a persistent id {brief(pid)}"
    )


def _check_start(file, start: int) -> None:
    """See that a pickle begins here, and go back there."""
    head = file.read(64)
    file.seek(start)
    if head[:1] not in (b"\x80", b""):
        raise pickle.UnpicklingError(
            f"Invalid magic number; corrupt file? Expected a checkpoint written by torch.save, {described(head)}"
        )


def load(file, map_location, weights_only: bool, encoding: str, mapped: np.ndarray | None = None):
    """Read the plain format: header, pickle, storage keys, storages.

    Args:
        file: at the checkpoint's beginning.
        map_location, weights_only, encoding: as for ``load``.
        mapped: the whole file as a ``uint8`` array; storages are then views of it that wait for their first use.

    Raises:
        RuntimeError: it is not a checkpoint, or it is cut short.
    """
    start = file.tell()
    if start == 0 and _is_tar(file):
        return _load_tar(file, map_location, weights_only, encoding, mapped)
    file.seek(start)
    policy = Policy(weights_only)

    def header():
        return Unpickler(file, Policy(True), _nothing, encoding).load()

    _check_start(file, start)
    if header() != MAGIC:
        raise RuntimeError(
            "Invalid magic number; corrupt file? Expected a checkpoint written by torch.save, received a pickle that "
            "something else wrote."
        )
    version = header()
    if version != VERSION:
        raise RuntimeError(f"Invalid protocol version: {brief(version)}, expected {VERSION}")
    system = header()
    big = isinstance(system, dict) and system.get("little_endian") is False
    begin = file.tell()
    # The storages follow the pickle that needs them, so it is walked through once without building anything.
    ids, _ = scan(file, encoding)
    sizes = {text(p[2]): p for p in ids if len(p) == 6 and text(p[0]) == "storage" and isinstance(text(p[2]), str)}
    keys = header()
    if not isinstance(keys, list) or any(not isinstance(text(k), str) or text(k) not in sizes for k in keys):
        raise pickle.UnpicklingError(
            "storage keys of a checkpoint: expected those the pickle names. The file is damaged."
        )
    blocks = {}
    for key in map(text, keys):
        kind = sizes[key][1]
        itemsize = kind.dtype.itemsize if isinstance(kind, StorageType) and kind.dtype else 1
        # A count of elements precedes each storage; the element's size is known from the pickle alone.
        blocks[key] = _read_block(file, itemsize, ">" if big else "<", mapped)

    def fetch(key: str, size: int) -> np.ndarray:
        block = blocks.get(key)
        if block is None or len(block) != size:
            raise RuntimeError(f"storage {brief(key)} of a checkpoint: expected {size} bytes. The file is damaged.")
        return block

    table = StorageTable(fetch, map_location, big, mapped is not None)
    file.seek(begin)
    return Unpickler(file, policy, lambda pid: _persistent(table, pid), encoding).load()


def _persistent(table: StorageTable, pid):
    kind = text(pid[0]) if isinstance(pid, tuple) and pid else None
    if kind == "module" and len(pid) == 4:
        # A class with its source code, which torch compared with the installed one; the class was already found.
        return pid[1]
    if kind != "storage" or len(pid) != 6:
        raise pickle.UnpicklingError(f"Only persistent_load of storage is allowed, but got {brief(pid)}")
    found = table.get(*pid[1:5])
    if pid[5] is None:
        return found
    return _part(found, pid[5])


def _part(root: LoadedStorage, view) -> LoadedStorage:
    """A storage that is a window on another one, as PyTorch before 0.4 could make."""
    sound = isinstance(view, tuple) and len(view) == 3 and all(type(n) is int and n >= 0 for n in view[1:])
    if not sound or root.dtype is None or view[1] + view[2] > root.size():
        raise pickle.UnpicklingError(f"view of a storage in a checkpoint: received {brief(view)}. The file is damaged.")
    if view[1] == 0 and view[2] == root.size():
        return root
    key = view[1:]
    if key not in root.moved:
        step = root.dtype.itemsize
        raw = None if root.raw is None else root.raw[view[1] * step : (view[1] + view[2]) * step]
        root.moved[key] = LoadedStorage(raw, root.kind, root.device, view[2] * step, root.swapped, root.lazy)
    return root.moved[key]


def _read_block(file, itemsize: int, order: str, mapped: np.ndarray | None) -> np.ndarray:
    """A count of elements, and that many elements."""
    head = file.read(8)
    count = struct.unpack(order + "q", head)[0] if len(head) == 8 else -1
    if count < 0 or count * itemsize > remaining(file):
        raise RuntimeError("unexpected EOF: a storage of the checkpoint is cut short. Save or download the file again.")
    if mapped is not None:
        begin = file.tell()
        return mapped[begin : file.seek(begin + count * itemsize)]
    buffer = aligned_bytes(count * itemsize)
    if not fill(file, buffer):
        raise RuntimeError("unexpected EOF: a storage of the checkpoint is cut short. Save or download the file again.")
    return buffer


def save(obj, write: Callable, protocol: int) -> None:
    """Write the plain format."""
    body = io.BytesIO()
    pickler = Pickler(body, protocol, legacy=True)
    pickler.dump(obj)
    with progress.shown("saving", sum(flat.nbytes for flat in pickler.storages.values())) as advance:

        @contextlib.contextmanager
        def counted(flat):
            yield flat
            advance(flat.nbytes)

        finish(pickler, body, write, counted, protocol)


def finish(pickler: Pickler, body: io.BytesIO, write: Callable, contents: Callable, protocol: int) -> None:
    """Write the plain format around a pickle.

    Args:
        pickler: has written it, in the legacy form.
        body: where it lies.
        write: takes bytes, as ``file.write``.
        contents: gives a context with the values of one of the pickler's storages.
        protocol: of the header's pickles.
    """
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": VERSION, "little_endian": sys.byteorder == "little", "type_sizes": sizes}
    for part in (MAGIC, VERSION, system):
        write(pickle.dumps(part, protocol=protocol))
    write(body.getbuffer())
    keys = sorted(pickler.storages)
    write(pickle.dumps(keys, protocol=protocol))
    for key in keys:
        with contents(pickler.storages[key]) as flat:
            write(struct.pack("=q", flat.nbytes if pickler.untyped(key) else flat.size))
            write(flat.view(np.uint8).data)


# -- the tar format -------------------------------------------------------------------------------------------------


def _is_tar(file) -> bool:
    file.seek(257)
    found = file.read(5) == b"ustar"
    file.seek(0)
    return found


def _load_tar(file, map_location, weights_only: bool, encoding: str, mapped: np.ndarray | None):
    if weights_only:
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with files saved in the legacy .tar format. Expected a file of PyTorch "
            "0.1.10 or newer; load it with weights_only=False (rushlight executes nothing from it in either case) and "
            "save it again."
        )
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            members: dict[str, Any] = {}
            for name in ("storages", "tensors", "pickle"):
                found = tar.extractfile(name)
                if found is None:
                    raise KeyError(name)
                members[name] = found
            home = tar.getmember("storages")
            if mapped is not None:
                # A sparse member's bytes do not lie in the file as they are read.
                mapped = None if home.issparse() else mapped[home.offset_data : home.offset_data + home.size]
            return _read_tar(members, map_location, encoding, mapped)
    except (tarfile.TarError, KeyError, struct.error) as error:
        raise RuntimeError(f"tar checkpoint is damaged ({error}). Save or download it again.") from error


def _read_tar(members: dict, map_location, encoding: str, mapped: np.ndarray | None):
    policy = Policy(False)
    objects: dict[str, Any] = {}

    def read(name: str, persistent=_nothing):
        return Unpickler(members[name], policy, persistent, encoding).load()

    for _ in range(_count(read("storages"))):
        key, location, kind = read("storages")
        key = _name(key)
        if not isinstance(kind, StorageType) or kind.dtype is None:
            raise pickle.UnpicklingError(
                f"storage of a tar checkpoint: expected a storage class, received {brief(kind)}"
            )
        block = _read_block(members["storages"], kind.dtype.itemsize, "<", mapped)
        table = StorageTable(lambda key, size, block=block: block, map_location, lazy=mapped is not None)
        objects[key] = table.get(kind, key, location, len(block) // kind.dtype.itemsize)
    for target, root, offset, count in read("storages"):
        objects[_name(target)] = _part(objects[_name(root)], (_name(root), offset, count))
    for _ in range(_count(read("tensors"))):
        key, storage, _ = read("tensors")
        (ndim,) = struct.unpack("<i4x", members["tensors"].read(8))
        if not 0 <= ndim <= 64:
            raise pickle.UnpicklingError(f"tensor of a tar checkpoint: expected up to 64 dimensions, received {ndim}")
        numbers = struct.unpack(f"<{2 * ndim + 1}q", members["tensors"].read(8 * (2 * ndim + 1)))
        objects[_name(key)] = rebuild.make_tensor(
            objects[_name(storage)], numbers[-1], numbers[:ndim], numbers[ndim : 2 * ndim], False
        )

    def persistent(pid):
        return pid[0] if isinstance(pid, tuple) and pid else objects[_name(pid)]

    return read("pickle", persistent)


def _name(value) -> str:
    """What tells objects apart: numbers, which were addresses, or their text."""
    value = text(value)
    if type(value) not in (int, str):
        raise pickle.UnpicklingError(f"key in a tar checkpoint: expected a number, received {brief(value)}")
    return str(value)


def _count(value) -> int:
    if type(value) is not int or value < 0:
        raise pickle.UnpicklingError(f"count in a tar checkpoint: expected a whole number, received {brief(value)}")
    return value
