"""Owns reading a checkpoint's table of contents from a file that may mean harm: sound records alone.

May import the checkpoint package, the records, dtypes and _errors.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import PurePath
from typing import Any

from ... import dtypes
from ..._errors import missing_name
from ...checkpoint.allowlist import Policy
from ...checkpoint.brief import brief
from ...checkpoint.stub import Stub
from ...checkpoint.unpickler import Unpickler
from . import metadata as records
from .filesystem import _StorageInfo, _StoragePrefix

_HOME = "torch.distributed.checkpoint"
# Where torch 2.2 and earlier kept two of the records.
_OLD_HOME = "torch.distributed._shard.sharded_tensor.metadata"
_CLASSES: dict[str, type] = {
    f"{_HOME}.metadata.{one.__name__}": one
    for one in (
        records.BytesStorageMetadata, records.ChunkStorageMetadata, records.Metadata, records.MetadataIndex,
        records.StorageMeta, records.TensorProperties, records.TensorStorageMetadata, records._MEM_FORMAT_ENCODING,
    )
} | {
    f"{_HOME}.filesystem._StorageInfo": _StorageInfo,
    f"{_HOME}.filesystem._StoragePrefix": _StoragePrefix,
    f"{_OLD_HOME}.TensorProperties": records.TensorProperties,
    f"{_OLD_HOME}.MEM_FORMAT_ENCODING": records._MEM_FORMAT_ENCODING,
}  # fmt: skip
_LONGEST_LIST = 1_000_000


def _damaged(what: str, found: Any) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"{what} in the metadata of a distributed checkpoint: received {brief(found)}. The file is damaged."
    )


def _sizes(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(n) is int and n >= 0 for n in value)


class _Records(Policy):
    """Builds the records besides what any checkpoint may hold; every other class becomes a stub."""

    def __init__(self):
        super().__init__(weights_only=False)

    def find(self, module: str, name: str) -> Any:
        return _CLASSES.get(f"{module}.{name}") or super().find(module, name)

    def new(self, kind: Any, args: Any, kwargs: Any = None) -> Any:
        if isinstance(kind, type) and kind in _CLASSES.values():
            if args or kwargs or kind is records._MEM_FORMAT_ENCODING:
                raise _damaged(kind.__name__, args)
            return object.__new__(kind)
        return super().new(kind, args, kwargs)

    def reduce(self, func: Any, args: Any) -> Any:
        encoding: Any = records._MEM_FORMAT_ENCODING
        if func is encoding:
            if args not in ((0,), (1,), (2,)):
                raise _damaged("memory format", args)
            return func(*args)
        # Python 3.11.0 to 3.11.3 pickles a member of an enumeration as getattr(class, name).
        by_name = type(func) is Stub and func.class_name == "builtins.getattr" and isinstance(args, tuple)
        if by_name and args[:1] == (encoding,):
            if len(args) != 2 or type(args[1]) is not str or args[1] not in encoding.__members__:
                raise _damaged("memory format", args)
            return encoding[args[1]]
        return super().reduce(func, args)

    def build(self, obj: Any, state: Any) -> None:
        kind = type(obj)
        if kind is records.TensorProperties:
            encoding = records._MEM_FORMAT_ENCODING
            sound = isinstance(state, tuple) and len(state) == 5 and isinstance(state[3], encoding)
            if not sound or not isinstance(state[0], dtypes.dtype):
                raise _damaged("tensor properties", state)
            obj.__setstate__(state)
        elif kind in _CLASSES.values():
            if not isinstance(state, dict) or not _sound(kind, state):
                raise _damaged(kind.__name__, state)
            obj.__dict__.update(state)
        else:
            super().build(obj, state)


def _sound(kind: type, state: dict) -> bool:
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    if not state.keys() <= fields.keys():
        return False
    if kind is records.MetadataIndex:
        offset, index = state.get("offset"), state.get("index")
        return type(state.get("fqn")) is str and (offset is None or _sizes(offset)) and type(index) in (int, type(None))
    if kind is records.ChunkStorageMetadata:
        return _sizes(state.get("offsets")) and _sizes(state.get("sizes"))
    if kind is _StorageInfo:
        path, numbers = state.get("relative_path"), (state.get("offset"), state.get("length"))
        return type(path) is str and all(type(n) is int and n >= 0 for n in numbers)
    return True


def read(data: bytes) -> records.Metadata:
    """The table of contents.

    Args:
        data: the file's bytes.

    Raises:
        UnpicklingError: it is none, or it is damaged, or names files elsewhere.
    """

    def persistent(pid: Any) -> Any:
        raise _damaged("a persistent id", pid)

    found = Unpickler(io.BytesIO(data), _Records(), persistent).load()
    if type(found) is not records.Metadata:
        raise _damaged("instead of a table of contents", found)
    vars(found).setdefault("planner_data", None)
    _check(found)
    return found


def _check(found: records.Metadata) -> None:
    kept, places, paths = vars(found).get("state_dict_metadata"), found.storage_data, found.planner_data
    if not isinstance(kept, dict) or not isinstance(places, dict):
        raise _damaged("no list of entries", kept)
    for index, place in places.items():
        if type(index) is not records.MetadataIndex or type(place) is not _StorageInfo:
            raise _damaged("the place of an entry", place)
        name = place.relative_path
        if name == ".." or PurePath(name).name != name or "\\" in name:
            raise _damaged("a file's name", name)
    for name, path in (paths or {}).items() if isinstance(paths, dict | None) else ():
        sound = isinstance(path, tuple) and len(path) > 0 and type(name) is str
        if not sound or not all(type(p) is str or (type(p) is int and 0 <= p < _LONGEST_LIST) for p in path):
            raise _damaged("the path of an entry", path)
    for name, entry in kept.items():
        if type(name) is str and type(entry) is records.BytesStorageMetadata:
            continue
        if type(name) is not str or type(entry) is not records.TensorStorageMetadata:
            raise _damaged("an entry", entry)
        _check_tensor(name, vars(entry), places)


def _check_tensor(name: str, entry: dict[str, Any], places: dict) -> None:
    """A tensor's pieces lie inside of it, cover it, and are no larger than what the files have for them."""
    properties, size, chunks = (entry.get(part) for part in ("properties", "size", "chunks"))
    if type(properties) is not records.TensorProperties or not _sizes(size) or not isinstance(chunks, list):
        raise _damaged(f"tensor '{name}'", entry)
    assert size is not None
    count = 0
    for chunk in chunks:
        if type(chunk) is not records.ChunkStorageMetadata or not len(chunk.offsets) == len(chunk.sizes) == len(size):
            raise _damaged(f"a piece of tensor '{name}'", chunk)
        if any(start + length > whole for start, length, whole in zip(chunk.offsets, chunk.sizes, size)):
            raise _damaged(f"a piece of tensor '{name}' outside of it", chunk)
        place = places.get(records.MetadataIndex(name, chunk.offsets))
        if place is None or math.prod(chunk.sizes) * properties.dtype.itemsize > max(place.length, 0):
            raise _damaged(f"the place of a piece of tensor '{name}'", place)
        count += math.prod(chunk.sizes)
    if count < math.prod(size):
        raise _damaged(f"pieces that do not cover tensor '{name}'", chunks)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__: list[str] = []
