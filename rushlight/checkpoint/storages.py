"""Owns what a file says about storages: their type, their bytes in this machine's order, and where they are to live.

May import dtypes, device, the bits of complex32 and numpy; no tensors.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight import dtypes
from rushlight._device import cpu, device, present, resolve
from rushlight._tensor import half_complex

from .brief import brief
from .unpickler import CallerError


class StorageType:
    """A storage class that a file names.

    Attributes:
        name: torch's.
        dtype: of its elements, or of what carries their bits; None for ``torch.storage.UntypedStorage``.
        foreign: the element type, where it is one that JAX has not.
    """

    __slots__ = ("dtype", "foreign", "name")

    def __init__(self, name: str, dtype: dtypes.dtype | None, foreign=None):
        self.name, self.dtype, self.foreign = name, dtype, foreign

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class LoadedStorage:
    """One storage of a file, as ``map_location`` functions see it.

    Attributes:
        raw: its bytes; None on the meta device, and while a legacy file is scanned.
        dtype: the element type; None until the first tensor over an untyped storage tells.
        device: where tensors over it will live.
        kind: the storage class that the file names.
        lazy: whether reading can wait, because the bytes are mapped.
        cell: the tensor storage made from it, shared by every tensor over it.
        seen_as: the element type of the cell.
    """

    def __init__(self, raw: np.ndarray | None, kind: StorageType, where: device, size: int, swapped=False, lazy=False):
        self.raw = raw
        self.kind = kind
        self.dtype = kind.dtype
        self.device = where
        self._size = size
        self.swapped = swapped
        self.lazy = lazy
        self.seen_as: Any = None
        self.cell: Any = None
        self.moved: dict = {}

    def nbytes(self) -> int:
        """Bytes in the storage."""
        return self._size

    def size(self) -> int:
        """Elements in the storage (bytes, where the type is not known)."""
        return self._size // (self.dtype.itemsize if self.dtype else 1)

    __len__ = size

    def to(self, where) -> LoadedStorage:
        """The same contents on another device."""
        where = resolve(where)
        if where == self.device:
            return self
        raw = None if where.type == "meta" else self.raw
        return LoadedStorage(raw, self.kind, where, self._size, self.swapped, self.lazy)

    def __repr__(self) -> str:
        return f"<storage {self.kind!r} of {self._size} bytes on {self.device}>"

    def cpu(self) -> LoadedStorage:
        """The same contents on the CPU."""
        return self.to("cpu")

    def cuda(self, index=None) -> LoadedStorage:
        """The same contents on a GPU."""
        return self.to("cuda" if index is None else device(index))

    def elements(self, dtype: dtypes.dtype) -> np.ndarray:
        """The contents as a flat array of ``dtype.np``, in this machine's byte order."""
        raw = self.bits(dtype)
        if dtype is dtypes.complex32:
            return half_complex.from_bits(raw)
        if dtype is dtypes.bool_ and raw.size and raw.max() > 1:
            # A byte other than 0 and 1 is no bool, and XLA would carry it along.
            raw = (raw != 0).view(np.uint8)
        return raw.view(dtype.np)

    def bits(self, dtype: dtypes.dtype) -> np.ndarray:
        """The bytes of whole elements of ``dtype``, in this machine's order."""
        assert self.raw is not None
        itemsize = dtype.itemsize
        raw = self.raw[: self._size - self._size % itemsize]
        if self.swapped:
            unit = itemsize // (2 if dtype.is_complex else 1)
            if unit > 1:
                raw = raw.view(f"u{unit}").byteswap().view(np.uint8)
        return raw


def placement(map_location) -> Callable[[LoadedStorage, str], LoadedStorage]:
    """Turn ``map_location`` into a function (storage on the CPU, saved location) -> storage where it belongs.

    Args:
        map_location: None, a device, its name, a dict from saved locations to new ones, or a function of
            (storage, location) that gives a storage or None.

    Raises:
        TypeError: it is something else.
    """
    if map_location is None:
        return restore
    if isinstance(map_location, dict):
        return lambda storage, location: restore(storage, str(map_location.get(location, location)))
    if isinstance(map_location, (str, bytes)):
        text = map_location.decode("ascii") if isinstance(map_location, bytes) else map_location
        return lambda storage, location: restore(storage, text)
    if isinstance(map_location, device):
        return lambda storage, location: restore(storage, str(map_location))
    if not callable(map_location):
        raise TypeError(
            f"load(): argument 'map_location' must be None, a device, a string, a dict or a function, not "
            f"{type(map_location).__name__}"
        )

    def by_function(storage: LoadedStorage, location: str) -> LoadedStorage:
        try:
            result = map_location(storage, location)
            if not isinstance(result, (LoadedStorage, type(None))):
                raise TypeError(
                    f"map_location function: expected None or a storage, received {type(result).__name__}. Return the "
                    "storage it was given, or storage.cpu() or storage.cuda(index)."
                )
        except Exception as error:
            raise CallerError(error) from error
        return restore(storage, location) if result is None else result

    return by_function


def restore(storage: LoadedStorage, location: str) -> LoadedStorage:
    """Put a storage where its tag says.

    Raises:
        RuntimeError: no such device here; torch's wording.
    """
    try:
        where = device(location)
    except RuntimeError:
        where = None
    if where is None or where.type not in ("cpu", "cuda", "tpu", "xla", "meta"):
        raise RuntimeError(
            f"don't know how to restore data location of torch.storage.UntypedStorage (tagged with {location}). "
            "Expected cpu, cuda, tpu or meta; load with map_location='cpu'."
        )
    if where.type == "cuda":
        here = len(present("cuda"))
        if not here:
            raise RuntimeError(
                "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you are "
                "running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map "
                "your storages to the CPU."
            )
        if (where.index or 0) >= here:
            raise RuntimeError(
                f"Attempting to deserialize object on CUDA device {where.index} but torch.cuda.device_count() is "
                f"{here}. Please use torch.load with map_location to map your storages to an existing device."
            )
    return storage.to(where)


class StorageTable:
    """The storages of one file, each read once.

    Args:
        fetch: (key, bytes expected) -> the raw bytes.
        map_location: as for ``load``.
        big_endian: the byte order of the file.
        lazy: what is fetched costs no memory yet, so that tensors over it can wait for their first use.
    """

    def __init__(self, fetch: Callable[[str, int], np.ndarray], map_location, big_endian=False, lazy=False):
        self._lazy = lazy
        self._fetch = fetch
        self._place = placement(map_location)
        self._swapped = big_endian != (sys.byteorder == "big")
        self._loaded: dict[str, LoadedStorage] = {}

    def get(self, kind, key, location, count) -> LoadedStorage:
        """The storage that a persistent id names.

        Raises:
            UnpicklingError: the id is malformed.
        """
        key, location = text(key), text(location)
        sound = isinstance(kind, StorageType) and type(count) is int and 0 <= count < 1 << 60
        if not sound or not isinstance(key, str) or not isinstance(location, str):
            raise pickle.UnpicklingError(
                f"persistent id of a storage: expected (type, key, location, element count), received ({brief(kind)}, "
                f"{brief(key)}, {brief(location)}, {brief(count)}). The file is damaged."
            )
        found = self._loaded.get(key)
        if found is None:
            size = count * (kind.dtype.itemsize if kind.dtype else 1)
            raw = self._fetch(key, size)
            found = LoadedStorage(raw, kind, cpu, size, self._swapped, self._lazy)
            found = self._loaded[key] = self._place(found, location)
        return found


def text(value):
    """A string that Python 2 wrote arrives as bytes when ``encoding='bytes'``."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
