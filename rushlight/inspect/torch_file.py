"""Owns torch's files as sources: the object is built with tensors of the meta device, and values stay in the file.

May import the checkpoint reader and nn's containers; builds on ``load`` and the storages it shows to map_location.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import dtypes
from .._tensor.tensor import Tensor
from ..checkpoint import Stub, legacy, load
from ..checkpoint.inert import InertTensor
from .source import Entry, Flat, Source

_DEEPEST = 100
_TABLES = ("_parameters", "_buffers", "_modules")


def open_source(path: Path) -> Source:
    """Open a file of ``torch.save``; nothing in it is imported or called, classes that are not known become stubs."""
    with path.open("rb") as file:
        zipped = file.read(4) in (b"PK\x03\x04", b"")
    pairs: list[tuple[Any, Any]] = []

    def elsewhere(storage, location):
        moved = storage.to("meta")
        pairs.append((storage, moved))
        return moved

    root, notes = _load(path, elsewhere, zipped)
    made = Source(str(path), "torch zip" if zipped else _old_format(path), root=root, notes=notes)
    cells = {id(moved.cell): (i, storage) for i, (storage, moved) in enumerate(pairs) if moved.cell is not None}
    found = _told_apart(leaves(root, "", made.classes, []), notes)
    tensors = {path: value for path, value in found if isinstance(value, Tensor)}
    strange = any(id(t._storage) not in cells for t in tensors.values())
    if pairs and (strange or any(isinstance(value, InertTensor) for _, value in found)):
        # Windows on storages of very old files, one storage as two dtypes, sparse and quantized tensors: as they are.
        made.root, _ = _load(path, "cpu", zipped)
        found = _told_apart(leaves(made.root, "", {}, []), [])
        tensors = {path: value for path, value in found if isinstance(value, Tensor)}
        cells = {}
    arrays: dict[str, np.ndarray] = {}
    for name, value in found:
        if isinstance(value, Tensor) and value.device.type == "meta" and id(value._storage) not in cells:
            made.values[name] = f"<{value.dtype!r} tensor {list(value.shape)} of the meta device, without values>"
        elif isinstance(value, Tensor):
            index, storage = cells.get(id(value._storage), (id(value._storage), None))
            made.entries.append(_entry(name, value, index))
            made.storages[index] = storage.nbytes() if storage else value.untyped_storage().nbytes()
        elif isinstance(value, np.ndarray) and value.dtype in _NUMPY:
            arrays[name] = value
            made.entries.append(
                Entry(name, dtypes.from_numpy(value.dtype), value.shape, f"array {id(value)}", 0, _steps(value))
            )
            made.storages[f"array {id(value)}"] = value.nbytes
        else:
            made.values[name] = value

    for name, tensor in tensors.items():
        cell = tensor._storage
        known = cells.get(id(cell))
        if id(cell) in made.flats or (known is None and tensor.device.type == "meta"):
            continue
        size = (known[1].nbytes() if known else tensor.untyped_storage().nbytes()) // tensor.dtype.itemsize
        read_whole = partial(known[1].elements, tensor.dtype) if known else partial(_contents, cell)
        made.flats[id(cell)] = Flat(read_whole, size, tensor.dtype.np, name)

    def read(entry: Entry) -> np.ndarray:
        if entry.name in arrays:
            return arrays[entry.name]
        tensor = tensors[entry.name]
        known = cells.get(id(tensor._storage))
        if known is None:
            return np.asarray(tensor._array())
        return window(known[1].elements(entry.dtype), entry)

    made.reader = read
    return made


def _told_apart(found: Iterator[tuple[str, Any]], notes: list[str]) -> list[tuple[str, Any]]:
    """The same leaves, each with a path of its own: ``{"a.b": x, "a": {"b": y}}`` has one path twice."""
    out: dict[str, Any] = {}
    for path, value in found:
        name, count = path, 1
        while name in out:
            count += 1
            name = f"{path} ({count})"
        if name != path:
            notes.append(f"several entries have the path '{path}'; one of them is called '{name}' here")
        out[name] = value
    return list(out.items())


def _contents(cell) -> np.ndarray:
    return np.asarray(cell.array).reshape(-1)


_NUMPY = frozenset(d.np for d in dtypes.ALL.values())


def _load(path: Path, map_location, zipped: bool) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if zipped:
            root = load(path, map_location=map_location, weights_only=False, mmap=True)
        else:
            # torch maps zip files alone, and so does load; here no file may be read whole.
            with path.open("rb") as file:
                mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)
                root = legacy.load(file, map_location, False, "utf-8", mapped)
    return root, list(dict.fromkeys(str(w.message) for w in caught))


def _old_format(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(257)
        return "torch tar" if file.read(5) == b"ustar" else "torch legacy"


def _steps(array: np.ndarray) -> tuple[int, ...]:
    return tuple(s // array.itemsize for s in array.strides)


def _entry(name: str, tensor: Tensor, storage) -> Entry:
    return Entry(
        name, tensor.dtype, tuple(int(n) for n in tensor.shape), storage, int(tensor.storage_offset()),
        tuple(int(n) for n in tensor.stride()), bool(tensor._requires_grad),
    )  # fmt: skip


def window(flat: np.ndarray, entry: Entry) -> np.ndarray:
    """What a tensor sees of its storage; no copy. Loading has checked that it lies inside."""
    if entry.count == 0:
        return np.empty(entry.shape, entry.dtype.np)
    step = entry.dtype.np.itemsize
    raw = flat.view(np.uint8)
    assert entry.stride is not None
    return np.ndarray(entry.shape, entry.dtype.np, raw.data, entry.offset * step, tuple(s * step for s in entry.stride))


# -- walking over whatever a file holds --------------------------------------------------------------------------------


def children(value) -> dict[Any, Any] | None:
    """What a container holds, by key; None for a leaf. Modules, known or not, show what ``state_dict`` would name."""
    if isinstance(value, (Tensor, np.ndarray, str, bytes, bytearray, int, float, type(None))):
        return None
    if isinstance(value, dict):
        # An object that was saved by its attributes, as modules are.
        return _flatten_tables(value) if _TABLES[2] in value and _TABLES[0] in value else value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if isinstance(value, Stub):
        if value.is_reference:
            return None
        held: dict[Any, Any] = dict(enumerate(a for a in value.args or () if children(a) or isinstance(a, Tensor)))
        held |= {} if value.state is None else _states(value.state)
        held |= dict(enumerate(value.items))
        return held | value.entries
    state = getattr(value, "__dict__", None)
    if state is None or isinstance(value, type):
        return None
    return _flatten_tables(state) if _TABLES[2] in state else state


def _states(state) -> dict:
    if isinstance(state, tuple):
        return {k: v for part in state if isinstance(part, dict) for k, v in part.items()}
    if isinstance(state, dict):
        return _flatten_tables(state) if _TABLES[2] in state else state
    return {"state": state}


def _flatten_tables(state: dict) -> dict:
    """A module's attributes: its tables opened, and torch's own bookkeeping left out."""
    held = {k: v for k, v in state.items() if not str(k).startswith("_") and k != "training"}
    for table in _TABLES:
        found = state.get(table)
        held |= {k: v for k, v in (found or {}).items() if v is not None}
    return held


def class_name(value) -> str | None:
    """The class of a container that is more than a plain dict, list or tuple."""
    kind = type(value)
    if isinstance(value, Stub):
        return f"{value.class_name} (stub)"
    if kind.__module__ in ("builtins", "collections"):
        return None
    module = kind.__module__
    return f"{'torch' + module[9:] if module.startswith('rushlight') else module}.{kind.__qualname__}"


def leaves(value, path: str, classes: dict[str, str], above: list[int]) -> Iterator[tuple[str, Any]]:
    held = children(value)
    if not held or id(value) in above or len(above) >= _DEEPEST:
        yield path or "value", value
        return
    if isinstance(value, (list, tuple)) and not any(children(v) or isinstance(v, (Tensor, np.ndarray)) for v in value):
        yield path or "value", value
        return
    named = class_name(value)
    if named:
        classes[path] = named
    for key, item in held.items():
        part = key if isinstance(key, str) else str(key)
        yield from leaves(item, f"{path}.{part}" if path else part, classes, [*above, id(value)])


__all__ = ["children", "class_name", "open_source", "window"]
