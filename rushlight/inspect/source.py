"""Owns ``Source``: a checkpoint as a list of named tensors that are read one at a time, whatever the file's format.

May import dtypes, what ties are, and numpy; each format's file is imported when one is opened.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import mmap
import os
import stat
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import dtypes
from ..checkpoint import ties


class UnreadableFile(Exception):
    """A file that is missing, damaged, or of no format that is known; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: what is known without reading its values.

    Attributes:
        name: its path, parts joined by dots.
        dtype, shape: as in torch.
        storage: equal for tensors that share memory.
        offset, stride: its place in the storage, in elements.
        parameter: whether the file marks it as a parameter (or as requiring a gradient).
    """

    name: str
    dtype: dtypes.dtype
    shape: tuple[int, ...]
    storage: Hashable
    offset: int = 0
    stride: tuple[int, ...] | None = None
    parameter: bool = False

    @property
    def count(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.count * self.dtype.itemsize

    @property
    def place(self) -> tuple:
        """Equal for two names of one tensor."""
        return self.storage, self.offset, self.stride, self.shape, self.dtype


@dataclass(frozen=True, slots=True)
class Flat:
    """A storage's elements, read when they are asked for.

    Attributes:
        read: gives them as a flat array.
        size: how many there are.
        dtype: their numpy dtype.
        name: of a tensor in it.
    """

    read: Callable[[], np.ndarray]
    size: int
    dtype: np.dtype
    name: str

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize


@dataclass
class Source:
    """An open checkpoint.

    Attributes:
        path: the file.
        format: ``"torch zip"``, ``"torch legacy"``, ``"torch tar"``, ``"safetensors"``, ``"npz"``, ``"orbax"``,
            ``"distributed checkpoint ..."`` or ``"sharded ..."``.
        entries: the tensors, in the file's order.
        storages: bytes of each storage.
        values: everything that is no tensor, by path.
        classes: the class of each container that is more than a dict or a list, by path.
        metadata: what the format itself carries as text.
        notes: what opening it brought to light.
        root: for torch's formats and orbax, the object in the file, with tensors of the meta device; otherwise None.
        size: bytes on disk.
        flats: for those, how to read the storages of the tensors in ``root``, by the storage's id.
    """

    path: str
    format: str
    entries: list[Entry] = field(default_factory=list)
    storages: dict[Hashable, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    root: Any = None
    size: int = 0
    flats: dict[int, Flat] = field(default_factory=dict)
    reader: Callable[[Entry], np.ndarray] | None = None
    closers: list[Callable[[], None]] = field(default_factory=list)

    def read(self, entry: Entry) -> np.ndarray:
        """A tensor's values; mapped from the file where the format allows it.

        Raises:
            UnreadableFile: the values are damaged, or not in the file.
        """
        assert self.reader is not None
        try:
            return self.reader(entry)
        except UnreadableFile:
            raise
        except Exception as error:
            raise UnreadableFile(f"{self.path}: tensor '{entry.name}' cannot be read: {error}") from error

    def chunks(self, entry: Entry, elements: int = 1 << 18) -> Iterator[np.ndarray]:
        """A tensor's values in flat pieces, in row-major order."""
        array = self.read(entry)
        if array.flags.c_contiguous:
            array = array.reshape(-1)
        for part in blocks(array.shape, elements):
            # Copied a block at a time, so that a transposed tensor is never copied whole.
            yield np.ascontiguousarray(array[part]).reshape(-1)
        forget(array)

    def shared(self) -> list[list[Entry]]:
        """Groups of tensors that share a storage."""
        groups: dict[Hashable, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(entry.storage, []).append(entry)
        return [group for group in groups.values() if len(group) > 1]

    def close(self) -> None:
        """Let go of the file."""
        for close in self.closers:
            close()
        self.closers.clear()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc) -> None:
        self.close()


def forget(array: np.ndarray) -> None:
    """Let the system take back the memory of a mapped tensor that has been read; reading it again is still possible."""
    base: Any = array
    while not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
        if base is None:
            return
    if hasattr(base, "madvise") and array.size:
        low, high = np.lib.array_utils.byte_bounds(array)
        start = np.frombuffer(base, np.uint8).ctypes.data
        first = (low - start) // mmap.PAGESIZE * mmap.PAGESIZE
        base.madvise(mmap.MADV_DONTNEED, first, high - start - first)


def blocks(shape: tuple[int, ...], elements: int = 1 << 18) -> Iterator[tuple]:
    """Indices that cut an array into blocks of at most so many elements, in row-major order.

    Example:
        >>> list(blocks((3, 2), 4))
        [(slice(0, 2, None),), (slice(2, 3, None),)]
    """
    if math.prod(shape) <= elements or not shape:
        yield ()
        return
    row = math.prod(shape[1:])
    if row > elements:
        for i in range(shape[0]):
            for rest in blocks(shape[1:], elements):
                yield (slice(i, i + 1), *rest)
        return
    step = max(1, elements // max(row, 1))
    for begin in range(0, shape[0], step):
        yield (slice(begin, min(begin + step, shape[0])),)


def open_source(path: str | os.PathLike, only: str = "") -> Source:
    """Open a checkpoint of any format that is known, without reading the values of its tensors.

    Args:
        path: a file of torch (zip, legacy, tar), safetensors, npz, an index of a sharded set, a folder of orbax or of
            ``torch.distributed.checkpoint``, or one that holds such an index or one checkpoint.
        only: keep what lies below this path, and drop it from the names.

    Raises:
        UnreadableFile: there is no such file, or it cannot be read.
    """
    target = Path(path)
    try:
        if target.is_dir():
            for kind in ("orbax_folder", "dcp_folder"):
                if _format(kind).is_checkpoint(target):
                    source = _format(kind).open_source(target)
                    return below(source, only) if only else source
            target = _in_folder(target)
        if not stat.S_ISREG(target.stat().st_mode):
            raise UnreadableFile(
                f"{target}: expected a file, which can be read at any place, received a pipe or device"
            )
        source = _open(target)
    except UnreadableFile:
        raise
    except OSError as error:
        raise UnreadableFile(f"{target}: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged file provokes, it is unreadable
        raise UnreadableFile(f"{target}: {error}") from error
    return below(source, only) if only else source


def _open(target: Path) -> Source:
    with target.open("rb") as file:
        head = file.read(16)
    if target.name.endswith(".index.json"):
        source = _open_sharded(target)
    elif target.suffix == ".safetensors":
        source = _format("safetensors_file").open_source(target)
    elif target.suffix == ".npz":
        source = _format("npz_file").open_source(target)
    elif target.suffix not in (".pt", ".pth", ".bin", ".ckpt") and head[8:9] == b"{" and head[:1] not in b"\x80P":
        source = _format("safetensors_file").open_source(target)
    else:
        source = _format("torch_file").open_source(target)
    source.size = source.size or target.stat().st_size
    return source


def _format(name: str) -> Any:
    return importlib.import_module(f"{__package__}.{name}")


def _in_folder(folder: Path) -> Path:
    """The one checkpoint in a folder.

    Raises:
        UnreadableFile: there is none, or several.
    """
    found = sorted(folder.glob("*.index.json"))
    if not found:
        kinds = ("*.safetensors", "*.pth", "*.pt", "*.bin", "*.ckpt", "*.npz")
        found = sorted(file for kind in kinds for file in folder.glob(kind))
    if len(found) != 1:
        raise UnreadableFile(
            f"{folder}: expected a folder with one checkpoint or one *.index.json, found "
            f"{', '.join(file.name for file in found[:5]) or 'none'}. Name the file."
        )
    return found[0]


def _open_sharded(index: Path) -> Source:
    """The files that an index names, as one."""
    try:
        table = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{index}: expected JSON, the index of a sharded set, received another file") from error
    places = table.get("weight_map") if isinstance(table, dict) else None
    sound = isinstance(places, dict) and all(isinstance(v, str) and v == os.path.basename(v) for v in places.values())
    if not places or not sound:
        raise UnreadableFile(f"{index}: expected an index with a weight_map from names to files of the same folder")
    parts: dict[str, Source] = {}
    with contextlib.ExitStack() as opened:
        for file in dict.fromkeys(places.values()):
            parts[file] = opened.enter_context(open_source(index.parent / file))
        made = Source(str(index), f"sharded {next(iter(parts.values())).format}, {len(parts)} files")
        origin: dict[Hashable, tuple[Source, Entry]] = {}
        for file, part in parts.items():
            made.notes += [f"{file}: {note}" for note in part.notes]
            made.metadata |= part.metadata
            made.size += part.size
            for entry in part.entries:
                if places.get(entry.name) not in (file, None):
                    made.notes.append(f"{file} holds '{entry.name}', which the index places in {places[entry.name]}")
                    continue
                key = (file, entry.storage)
                placed = replace(entry, storage=key)
                origin[placed.name] = (part, entry)
                made.entries.append(placed)
                made.storages[key] = part.storages[entry.storage]
        about = table.get("metadata")
        made.metadata |= {k: v for k, v in about.items() if isinstance(v, str)} if isinstance(about, dict) else {}
        listed = {entry.name: entry for entry in made.entries}
        for name, kept in ties.to_restore(listed, made.metadata).items():
            # The other name's tensor can lie in another file.
            made.entries.append(replace(listed[kept], name=name))
            origin[name] = origin[kept]
        missing = [name for name in places if name not in origin]
        if missing:
            raise UnreadableFile(f"{index}: the index names '{missing[0]}', which {places[missing[0]]} does not hold")
        made.metadata = ties.without(origin, made.metadata)
        made.reader = lambda entry: origin[entry.name][0].read(origin[entry.name][1])
        made.closers.append(opened.pop_all().close)
    return made


def below(source: Source, prefix: str) -> Source:
    """The part of a source under a path, with the path taken off the names; of a tensor's path its last part stays.

    Raises:
        UnreadableFile: nothing lies there.
    """
    start = prefix.rstrip(".") + "."
    kept = [entry for entry in source.entries if entry.name.startswith(start)]
    alone = not kept
    if alone:
        kept = [entry for entry in source.entries if entry.name == prefix]
        start = prefix[: prefix.rfind(".") + 1]
    if not kept:
        tops = list(dict.fromkeys(entry.name.partition(".")[0] for entry in source.entries))
        raise UnreadableFile(f"{source.path}: no tensors under '{prefix}'. At the top there are: {', '.join(tops[:8])}")
    full = {entry.name[len(start) :]: entry for entry in kept}
    read = source.read
    root = None if alone else source.root
    for part in prefix.rstrip(".").split("."):
        root = root.get(part) if isinstance(root, dict) else None
    return replace(
        source,
        entries=[replace(entry, name=name) for name, entry in full.items()],
        storages={key: source.storages[key] for key in dict.fromkeys(e.storage for e in kept)},
        values={} if alone else {k[len(start) :]: v for k, v in source.values.items() if k.startswith(start)},
        classes={} if alone else {k[len(start) :]: v for k, v in source.classes.items() if k.startswith(start)},
        root=root,
        reader=lambda entry: read(full[entry.name]),
    )
