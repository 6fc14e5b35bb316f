"""Owns what stands in for contents that nobody has read yet: ``LazyStorage``, and ``Unread`` for a view of one.

May import storage and jax; both give way to ordinary arrays on the first read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from .storage import Storage


class Unread:
    """The shape and the dtype of contents, and how to read them.

    Attributes:
        shape, dtype, ndim, size: as an array has them.
        read: gives the array; for a view it takes the array of the storage.
        path: for a view, the path that it stands for; on any other path it means nothing.
        version: for a view, the storage's when it was described.
    """

    __slots__ = ("dtype", "path", "read", "shape", "size", "version")

    def __init__(self, shape: tuple, dtype, read: Callable, path: tuple = (), version: int = 0):
        self.shape, self.dtype, self.read, self.path, self.version = shape, dtype, read, path, version
        self.size = math.prod(shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)


_slot: Any = Storage.__dict__["array"]


class LazyStorage(Storage):
    """A storage whose array is made on first use; from then on it is an ordinary ``Storage``.

    Args:
        shape, dtype: of the array.
        device: where it will live.
        read: makes the array.
    """

    __slots__ = ()

    def __init__(self, shape: tuple, dtype, device, read: Callable[[], Any]):
        _slot.__set__(self, Unread(shape, dtype, read))
        self.device = device
        self.version = 0

    @property
    def array(self) -> Any:
        """The array, read now."""
        unread = _slot.__get__(self)
        if isinstance(unread, Unread):
            # Whoever reads first may be tracing; the contents are no part of what is traced.
            with jax.ensure_compile_time_eval():
                self.array = unread.read()
        return _slot.__get__(self)

    @array.setter
    def array(self, value) -> None:
        # The two classes have one layout, so the storage itself can turn into the plain kind.
        self.__class__ = self.read_as  # pyright: ignore[reportAttributeAccessIssue]
        _slot.__set__(self, value)

    @property
    def form(self) -> Any:
        return _slot.__get__(self)


Storage.unread_as = LazyStorage


def write_later(storage: Storage, shape: tuple, dtype, read: Callable[[], Any]) -> None:
    """Replace the contents of a storage by an array that is made on first use.

    Args:
        shape, dtype: of the array.
        read: makes it; may be called more than once, and must give the same array each time.
    """
    if storage.halved:
        read = storage.fitting(read)
    storage.__class__ = storage.unread_as  # pyright: ignore[reportAttributeAccessIssue]
    _slot.__set__(storage, Unread(shape, dtype, read))
    storage.version += 1


def put_back(storage: Storage, form: Any) -> None:
    """Replace the contents of a storage by what its ``form`` was before."""
    if isinstance(form, Unread):
        write_later(storage, form.shape, form.dtype, form.read)
    else:
        storage.write(form)
