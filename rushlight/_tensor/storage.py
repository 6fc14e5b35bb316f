"""Owns ``Storage``: one mutable slot that holds one immutable array.

May import modes.
"""

from __future__ import annotations

from typing import Any

from .._graph.modes import state


class Storage:
    """The slot that tensors share.

    Attributes:
        array: the jax array now in it (a ShapeDtypeStruct on the meta device).
        version: how many times it was written; views compare it to know when to read again.
        device: where it lives.
    """

    __slots__ = ("__weakref__", "array", "device", "version")
    halved = False  # whether it is of complex32, whose elements take half of what the array has for them
    read_as: Any = None  # the class that it has once its array was read
    unread_as: Any = None  # and before
    fitting: Any = None  # where it is: from a function that makes an array to one that makes it fit

    def __init__(self, array: Any, device):
        self.array: Any = array
        self.device = device
        self.version = 0

    @property
    def form(self) -> Any:
        """What tells the shape and the dtype: the array, unless it was not read yet."""
        return self.array

    def write(self, array) -> None:
        """Put another array into the slot."""
        if state.vmap is not None:
            state.vmap.check_write(self.array, array)
        self.array = array
        self.version += 1


Storage.read_as = Storage


class UntypedStorage:
    """What ``tensor.untyped_storage()`` gives: the identity and the size of the memory behind a tensor."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Storage):
        self._cell = cell

    @property
    def device(self):
        return self._cell.device

    def nbytes(self) -> int:
        """Bytes in the storage."""
        array = self._cell.form
        return int(array.size) * array.dtype.itemsize // (2 if self._cell.halved else 1)

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """A number that is equal exactly for tensors that share the storage."""
        return id(self._cell)

    _cdata = property(data_ptr)

    def __eq__(self, other) -> bool:
        return isinstance(other, UntypedStorage) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(id(self._cell))
