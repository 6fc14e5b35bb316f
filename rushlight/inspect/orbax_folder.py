"""Owns orbax folders for streaming: their arrays read one at a time through tensorstore, and written from a file's own.

May import the sources, the checkpoint folder and nn's containers; orbax and tensorstore are imported on use.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import dtypes
from .._device import meta
from .._tensor.half_complex import label
from .._tensor.tensor import Tensor
from ..checkpoint import orbax
from ..checkpoint.safetensors_files import optional
from .source import Entry, Flat, Source, UnreadableFile, blocks, forget
from .torch_file import leaves

_ARRAYS = frozenset({"jax.Array", "np.ndarray"})
_EMPTY: dict[str, Callable[[], Any]] = {"Dict": dict, "List": list, "Tuple": tuple, "None": lambda: None}
_LARGEST_METADATA = 1 << 28
_SEQUENCE = 1  # orbax's number for a key that counts


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one of orbax: an item, a step of items, or the steps of a run."""
    if any((folder / name).is_file() for name in ("_METADATA", "_CHECKPOINT_METADATA")):
        return True
    return any((step / "_CHECKPOINT_METADATA").is_file() for _, step in _steps(folder))


def _steps(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(d.name), d) for d in folder.iterdir() if d.name.isdecimal() and d.is_dir())


def open_source(folder: Path) -> Source:
    """Open a folder; of several steps the last one.

    Raises:
        UnreadableFile: it holds no arrays, or contradicts itself.
    """
    made = Source(str(folder), "orbax")
    step, steps = folder, []
    if not any((folder / name).is_file() for name in ("_METADATA", "_CHECKPOINT_METADATA")):
        steps = _steps(folder)
        number, step = steps[-1]
        made.notes.append(f"step {number}" + (f", the last of {len(steps)}" if len(steps) > 1 else ""))
    items = (
        {"": step}
        if (step / "_METADATA").is_file()
        else {d.name: d for d in sorted(step.iterdir()) if (d / "_METADATA").is_file()}
    )
    if not items:
        raise UnreadableFile(f"{folder}: expected an orbax checkpoint, found none of its _METADATA files in {step}")
    made.size = sum(f.stat().st_size for f in step.rglob("*") if f.is_file())
    reading = _Reading(made)
    tree = step / "tree" / "metadata"
    if list(items) == ["arrays"] and tree.is_file():
        made.root = _run(reading, _json(tree), items["arrays"])
    else:
        roots = {name: _tree(reading, item) for name, item in items.items()}
        made.root = next(iter(roots.values())) if len(roots) == 1 else roots
    reading.finish()
    return made


def _json(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_METADATA:
        raise UnreadableFile(f"{path}: expected metadata, received a file above {_LARGEST_METADATA:,} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: expected JSON ({error})") from error


class _Reading:
    """The arrays of a source, opened together; each stands in its object as a tensor of the meta device."""

    def __init__(self, source: Source):
        self._source = source
        self._library = optional("tensorstore", "reading an orbax checkpoint", "orbax")
        self._stores: dict[int, Any] = {}

    def open(self, item: Path, table: dict, names: Iterable[str]) -> dict[str, Any]:
        """The stores of an item's arrays, by name."""
        driver = "zarr3" if table.get("use_zarr3") else "zarr"
        opened = {}
        for name in names:
            if table.get("use_ocdbt", True):
                place = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{item}{os.sep}"}, "path": f"{name}/"}
            else:
                inside = (item / name).resolve()
                if not inside.is_relative_to(item.resolve()):
                    raise UnreadableFile(f"{item}: the array {name!r} would lie outside of the folder")
                place = {"driver": "file", "path": f"{inside}{os.sep}"}
            opened[name] = self._library.open({"driver": driver, "kvstore": place}, open=True, read=True)
        return {name: store.result() for name, store in opened.items()}

    def tensor(self, store: Any) -> Tensor:
        """What stands for an array in the object."""
        made = Tensor._of(jax.ShapeDtypeStruct(tuple(store.shape), np.dtype(store.dtype.numpy_dtype)), meta)
        self._stores[id(made._storage)] = store
        return made

    def finish(self) -> None:
        """List what the object holds."""
        source = self._source
        stores: dict[str, Any] = {}
        for name, value in leaves(source.root, "", source.classes, []):
            if not isinstance(value, Tensor):
                source.values[name] = value
                continue
            key = id(value._storage)
            store = stores[name] = self._stores.get(key)  # None for a tensor without elements
            shape, stride = tuple(value.shape), tuple(int(n) for n in value.stride())
            source.entries.append(Entry(name, value.dtype, shape, key, stride=stride))
            size = value.numel()
            source.storages[key] = size * value.dtype.itemsize
            if store is not None:
                source.flats[key] = Flat(lambda store=store: _values(store).reshape(-1), size, value.dtype.np, name)

        def read(entry: Entry) -> np.ndarray:
            store = stores[entry.name]
            return np.empty(entry.shape, entry.dtype.np) if store is None else _values(store)

        source.reader = read


def _values(store: Any) -> np.ndarray:
    return np.ascontiguousarray(store.read().result()).reshape(store.shape)


def _run(reading: _Reading, described: Any, item: Path) -> Any:
    """The parts that a ``Checkpointer`` saved."""
    parts = described.get("parts") if isinstance(described, dict) else None
    listed = described.get("arrays") if isinstance(described, dict) else None
    if not isinstance(parts, dict) or not isinstance(listed, dict):
        raise UnreadableFile(f"{item.parent}: expected parts and arrays in its tree. The folder is damaged.")
    stores = reading.open(item, _json(item / "_METADATA"), listed)
    made: dict[str, Tensor] = {}

    def tensor(path: str) -> Tensor:
        if path not in made:
            made[path] = reading.tensor(stores[path])
            if listed[path][1] == "complex32":
                label(made[path])
        return made[path]

    found = {name: orbax.decode(part["state"], tensor) for name, part in parts.items()}
    return found["model"] if described.get("bare") and list(found) == ["model"] else found


def _tree(reading: _Reading, item: Path) -> Any:
    """The nest of dicts and lists that an item's metadata describes."""
    table = _json(item / "_METADATA")
    rows = table.get("tree_metadata") if isinstance(table, dict) else None
    if not isinstance(rows, dict):
        raise UnreadableFile(f"{item}: expected an orbax item with tree_metadata")
    paths: list[tuple[list[tuple[str, int]], str]] = []
    for row in rows.values():
        keys = [(str(part["key"]), part["key_type"]) for part in row["key_metadata"]]
        paths.append((keys, str(row["value_metadata"]["value_type"])))
    named = {".".join(key for key, _ in keys): kind for keys, kind in paths}
    strings = _json(item / "_strings.json") if (item / "_strings.json").is_file() else {}
    stores = reading.open(item, table, [n for n, kind in named.items() if kind in _ARRAYS or kind == "scalar"])
    root: dict[Any, Any] = {}
    counted: set[int] = set()
    for keys, kind in paths:
        node = root
        for (key, how), (_, below) in zip(keys, [*keys[1:], ("", 0)]):
            place: Any = int(key) if how == _SEQUENCE and key.isdecimal() else key
            if (key, how) is not keys[-1] and below:
                node = node.setdefault(place, {})
                if below == _SEQUENCE:
                    counted.add(id(node))
                continue
            name = ".".join(k for k, _ in keys)
            if kind in _ARRAYS:
                node[place] = reading.tensor(stores[name])
            elif kind == "scalar":
                node[place] = _values(stores[name]).item()
            elif kind in _EMPTY:
                node[place] = _EMPTY[kind]()
            else:
                node[place] = strings.get(name) if kind == "string" else f"<{kind}>"
    return _with_lists(root, counted)


def _with_lists(node: Any, counted: set[int]) -> Any:
    if not isinstance(node, dict):
        return node
    made = {key: _with_lists(value, counted) for key, value in node.items()}
    return [made[key] for key in sorted(made)] if id(node) in counted else made


# -- writing -----------------------------------------------------------------------------------------------------------


def check_target(folder: Path) -> None:
    """Refuse to write where something is.

    Raises:
        ValueError: the path is a file, or a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: expected a new or empty folder for an orbax checkpoint. Name another one.")


def write(folder: Path, root: Any, flats: dict[int, Flat], done: Callable[[int], None]) -> None:
    """Write an object as step 0 of a run that a ``Checkpointer`` reads.

    Args:
        folder: new, or empty.
        root: a dict of parts, or one part, which gets the name ``model`` and loses it when it is read here; its
            tensors are of the meta device.
        flats: the tensors' values, by the id of their storage.
        done: called with the bytes of each tensor.
    """
    library: Any = optional("orbax.checkpoint", "writing an orbax checkpoint", "orbax")
    check_target(folder)
    parts = root if _has_parts(root) else {"model": root}
    found: dict[str, Tensor] = {}
    seen: dict = {}
    tree = {
        name: {"loads": isinstance(part, dict), "state": orbax.encode(part, name, found, seen)}
        for name, part in parts.items()
    }
    described = {path: [[int(n) for n in t.shape], t.dtype.name] for path, t in found.items()}
    with tempfile.TemporaryFile(dir=folder.parent) as spool:
        arrays = {path: _mapped(spool, flats[id(t._storage)], t) for path, t in found.items()}
        for path in found:
            if found[path].dtype is not dtypes.complex32:
                described[path][1] = dtypes.from_numpy(arrays[path].dtype).name
        handlers = library.type_handlers
        registry = handlers.create_type_handler_registry(
            (np.ndarray, _one_by_one(handlers)),
            (jax.Array, handlers.ArrayHandler()),
        )
        manager = library.CheckpointManager(
            folder.absolute(),
            options=library.CheckpointManagerOptions(enable_async_checkpointing=False),
            item_handlers={
                "arrays": library.PyTreeCheckpointHandler(type_handler_registry=registry),
                "tree": library.JsonCheckpointHandler(),
            },
        )
        with manager:
            manager.save(
                0,
                args=library.args.Composite(
                    arrays=library.args.PyTreeSave(arrays or {"": np.zeros(1, np.float32)}),
                    tree=library.args.JsonSave(
                        {"version": 1, "bare": parts is not root, "parts": tree, "arrays": described}
                    ),
                ),
            )
    for array in arrays.values():
        done(array.nbytes)


def _one_by_one(handlers: Any) -> Any:
    """orbax's way to write numpy arrays, without copies of all of them at once: each waits for the one before."""

    class Handler(handlers.NumpyHandler):
        async def _background_serialize(self, values: Any, infos: Any, args: Any = None) -> None:
            args = args or [None] * len(values)
            for value, info, arg in zip(values, infos, args):
                await super()._background_serialize([value], [info], [arg])
                forget(value)

    return Handler(deepcopy_host_arrays=False)


def _has_parts(root: Any) -> bool:
    """Whether an object's entries are parts of a run rather than tensors of one model."""
    if not isinstance(root, dict) or not all(isinstance(key, str) and "/" not in key for key in root):
        return False
    return not any(isinstance(value, Tensor) for value in root.values())


def _mapped(spool: Any, flat: Flat, tensor: Tensor) -> np.ndarray:
    """A tensor's values without memory of their own: from a file of the disk, in which the tensor has been laid out."""
    size, stride, offset = tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())
    values = flat.read()
    step = values.dtype.itemsize
    seen = np.lib.stride_tricks.as_strided(values[offset:], size, tuple(s * step for s in stride))
    if not seen.size:
        return np.empty(size, values.dtype)
    begin = spool.seek(0, os.SEEK_END)
    begin = spool.seek(begin + -begin % 64)
    for part in blocks(size):
        spool.write(np.ascontiguousarray(seen[part]).reshape(-1).view(np.uint8).data)
    spool.flush()
    forget(values)
    return np.memmap(spool, values.dtype, "r", begin, size)


__all__ = ["check_target", "is_checkpoint", "open_source", "write"]
