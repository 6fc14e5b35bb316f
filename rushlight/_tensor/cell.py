"""Owns ``Cell``: a storage, an optional view path into it, and where gradients go; reading and writing through both.

May import the tape, devices, storage and views; operators are unknown here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax

from .. import _device as devices
from .._graph.engine import Values
from .._graph.modes import state
from . import views
from .storage import Storage
from .unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tensor import Tensor

_IN_PLACE_LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
_IN_PLACE_VIEW = "a view of a leaf Variable that requires grad is being used in an in-place operation."


class Slots:
    """The slots every tensor has; rarer state lives in the instance dict, over the defaults in ``Cell``."""

    __slots__ = ("__dict__", "__weakref__", "_index", "_node", "_path", "_requires_grad", "_storage")

    if TYPE_CHECKING:
        # Operators attach themselves as methods when they are declared; a type checker cannot see that.
        _storage: Storage
        _path: tuple
        _node: Any
        _index: Any
        _requires_grad: bool

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other) -> Tensor: ...
        def __radd__(self, other) -> Tensor: ...
        def __sub__(self, other) -> Tensor: ...
        def __rsub__(self, other) -> Tensor: ...
        def __mul__(self, other) -> Tensor: ...
        def __rmul__(self, other) -> Tensor: ...
        def __truediv__(self, other) -> Tensor: ...
        def __rtruediv__(self, other) -> Tensor: ...
        def __floordiv__(self, other) -> Tensor: ...
        def __mod__(self, other) -> Tensor: ...
        def __pow__(self, other) -> Tensor: ...
        def __rpow__(self, other) -> Tensor: ...
        def __matmul__(self, other) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other) -> Tensor: ...
        def __or__(self, other) -> Tensor: ...
        def __xor__(self, other) -> Tensor: ...
        def __lt__(self, other) -> Tensor: ...
        def __le__(self, other) -> Tensor: ...
        def __gt__(self, other) -> Tensor: ...
        def __ge__(self, other) -> Tensor: ...
        def __getitem__(self, key) -> Tensor: ...
        def __setitem__(self, key, value) -> None: ...
        def __iter__(self) -> Iterator[Tensor]: ...


class Cell(Slots):
    """What a tensor is underneath: a place in a storage, and a place on the tape."""

    _grad: Tensor | None = None
    _hooks: dict | None = None
    _post_hooks: dict | None = None
    _base: Tensor | None = None
    _history = 0
    _seen = 0
    _relative: tuple = ()
    _cache: Any = None
    _cache_version = -1
    _unread: Unread | None = None
    _retains = False
    _inference = False
    _strides: tuple | None = None
    _tangent: Any = None
    __array_priority__ = 1000

    @classmethod
    def _of(cls, array, device=None, requires_grad=False):
        """Wrap a jax array (no copy)."""
        self = object.__new__(cls)
        self._storage = Storage(array, device or devices.cpu)
        self._path = ()
        self._node = None
        self._index = 0
        self._requires_grad = requires_grad
        return self

    @classmethod
    def _alias(cls, other: Tensor, requires_grad=False):
        """A tensor of class ``cls`` over the same storage and path, with no history."""
        self = object.__new__(cls)
        self._storage = other._storage
        self._path = other._path
        self._node = None
        self._index = 0
        self._requires_grad = requires_grad
        return self

    def _array(self) -> Any:
        """The jax array that the tensor now stands for."""
        if not self._path:
            return self._storage.array
        storage = self._storage
        if self._cache_version != storage.version:
            array, unread = storage.array, self._unread
            if unread is not None:
                self._unread = None
            if isinstance(array, jax.ShapeDtypeStruct):
                for program, dynamic in self._path:
                    array = jax.eval_shape(program.flat, array, *dynamic)
                self._cache = array
            elif unread is not None and unread.path is self._path and unread.version == storage.version:
                self._cache = unread.read(array)
            else:
                self._cache = views.read(array, self._path)
            self._cache_version = storage.version
        return self._cache

    def _form(self) -> Any:
        """What tells the shape and the dtype, without reading contents that were not read yet."""
        if not self._path:
            storage = self._storage
            return storage.array if storage.__class__ is Storage else storage.form
        unread = self._unread
        return self._array() if unread is None or unread.path is not self._path else unread

    def _write(self, array) -> None:
        """Replace the contents (same shape and dtype), through the view path where there is one."""
        storage = self._storage
        if not self._path:
            storage.write(array)
        elif isinstance(storage.array, jax.ShapeDtypeStruct):
            storage.write(storage.array)
        else:
            storage.write(views.write(storage.array, self._path, array))
            self._cache, self._cache_version = array, storage.version

    def _edge(self):
        """Where this tensor's gradient goes: (node, index), (itself, None) for a leaf, or None."""
        base = self._base
        if base is not None and self._seen != base._history:
            self._rebase(base)
        if self._node is not None:
            return self._node, self._index
        return (self, None) if self._requires_grad else None

    def _rebase(self, base: Tensor) -> None:
        """The base was written in place: this view is now a view of what it became."""
        self._seen = base._history
        edge = base._edge()
        if edge is None:
            return
        array = base._array()
        for program, dynamic in self._relative:
            node = Values.node(program, (array, *dynamic), (edge, *(None for _ in dynamic)), 1)
            array = program.fwd(array, *dynamic)
            edge = node, 0
        self._node, self._index = edge
        self._requires_grad = True

    def _check_in_place(self) -> None:
        """Refuse what torch refuses, before anything changes."""
        if self._inference and not state.inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get "
                "a normal tensor before doing inplace update."
            )
        if not state.grad:
            return
        base = self._base
        edge = self._edge()
        if edge is not None and edge[1] is None and base is None:
            raise RuntimeError(_IN_PLACE_LEAF)
        if base is not None:
            edge = base._edge()
            if edge is not None and edge[1] is None:
                raise RuntimeError(_IN_PLACE_VIEW)

    def _assign(self, value: Tensor) -> Any:
        """Become ``value`` in place: its contents, and its history where one is recorded."""
        if state.dual is not None:
            state.dual.assign(self, value)
        base = self._base
        array = value._array()
        if state.grad:
            edge = value._edge()
            if base is None:
                if edge is not None:
                    self._node, self._index = edge
                    self._requires_grad = True
                    self._history += 1
            else:
                base_edge = base._edge()
                if edge is not None or base_edge is not None:
                    program, dynamic = views.copy_program(self._relative)
                    arrays = (base._array(), array, *dynamic)
                    node = Values.node(program, arrays, (base_edge, edge, *(None for _ in dynamic)), 1)
                    self._write(array)
                    base._node, base._index, base._requires_grad = node, 0, True
                    base._history += 1
                    return self
        self._write(array)
        return self
