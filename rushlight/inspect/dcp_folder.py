"""Owns PyTorch's folders of distributed checkpoints as sources: tensors read one at a time, joined from their pieces.

May import the sources, distributed checkpoints and the tensor cell.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._device import cpu, meta
from .._tensor.tensor import Tensor
from ..distributed.checkpoint import FileSystemReader
from ..distributed.checkpoint._nested_dict import set_element
from ..distributed.checkpoint.metadata import TensorStorageMetadata
from ..ops.creation import empty
from .source import Entry, Flat, Source
from .torch_file import leaves

_TABLES = {".metadata": None, "__0.metadata": 0}


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a distributed checkpoint."""
    return any((folder / name).is_file() for name in _TABLES)


def open_source(folder: Path) -> Source:
    """Open a folder; nothing in it is imported or called.

    Raises:
        UnpicklingError: it is damaged.
    """
    reader = FileSystemReader(folder)
    rank = next(rank for name, rank in _TABLES.items() if (folder / name).is_file())
    contents = reader.read_metadata(rank=rank)
    places = {info.relative_path for info in reader.storage_data.values()}
    made = Source(str(folder), f"distributed checkpoint, {len(places)} file{'s' * (len(places) != 1)}", root={})
    made.size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    paths, kept = contents.planner_data or {}, {}
    for name, entry in contents.state_dict_metadata.items():
        if isinstance(entry, TensorStorageMetadata):
            value: Any = empty(tuple(entry.size), dtype=entry.properties.dtype, device=meta)
            kept[id(value._storage)] = partial(_values, reader, name, entry)
        else:
            value = reader.read_bytes(name)
        set_element(made.root, paths.get(name, (name,)), value)
    reads = {}
    for name, value in leaves(made.root, "", made.classes, []):
        if not isinstance(value, Tensor):
            made.values[name] = value
            continue
        key, shape = id(value._storage), tuple(int(n) for n in value.shape)
        # A tensor inside of a value that is no tensor was pickled along with it.
        read = reads[name] = kept.get(key) or partial(_own, value)
        made.entries.append(Entry(name, value.dtype, shape, key, stride=tuple(int(n) for n in value.stride())))
        made.storages[key] = value.numel() * value.dtype.itemsize
        made.flats[key] = Flat(partial(_flat, read), value.numel(), value.dtype.np, name)
    made.reader = lambda entry: reads[entry.name]()
    return made


def _values(reader: FileSystemReader, name: str, entry: TensorStorageMetadata) -> np.ndarray:
    target = empty(entry.size, dtype=entry.properties.dtype, device=cpu)
    reader.read_tensor(name, entry, target)
    return np.asarray(target._array())


def _own(value: Tensor) -> np.ndarray:
    return np.asarray(value._array())


def _flat(read: Any) -> np.ndarray:
    return np.ascontiguousarray(read()).reshape(-1)


__all__ = ["is_checkpoint", "open_source"]
