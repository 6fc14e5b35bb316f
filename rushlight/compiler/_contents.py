"""Owns telling Python's values apart, and what those that can change look like now, for a later comparison.

May import the tensor class, dtypes and devices; modules and optimizers are known by their attributes.
"""

from __future__ import annotations

import array
import collections
import contextvars
import functools
import io
import sys
import threading
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _device, dtypes
from .._tensor.tensor import Tensor
from ._bytes import Bits

_HOME = __name__.rpartition(".compiler")[0]
_NAMES = (_HOME, "torch")  # under the alias, rushlight's classes say that they are torch's
PLAIN = (
    bool, int, float, complex, str, bytes, type(None), np.number, np.bool_, dtypes.dtype, dtypes.Size, _device.device
)  # fmt: skip
OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType)
ARRAYS = (np.ndarray, bytearray, array.array, memoryview)
_VIEWS = (types.MappingProxyType, type({}.keys()), type({}.values()), type({}.items()))
# What is neither a container of Python's nor an object with attributes, and changes all the same.
ODD = (*ARRAYS, *_VIEWS, weakref.ref, *weakref.ProxyTypes, contextvars.ContextVar, contextvars.Context, threading.local)
_FUNCTIONS = (*OPAQUE, types.FunctionType, types.MethodType)
_QUICK = frozenset({bool, int, float, str, bytes, type(None)})
BAGS = frozenset({"argparse", "collections", "types", "weakref"})  # their classes hold what users put there
MISSING = type("Missing", (), {"__repr__": lambda self: "(missing)"})()


def is_module(value) -> bool:
    """Whether it is an ``nn.Module``."""
    return hasattr(type(value), "named_parameters") and "_parameters" in getattr(value, "__dict__", ())


def is_optimizer(value) -> bool:
    """Whether it is an ``optim.Optimizer``."""
    return hasattr(type(value), "add_param_group") and "param_groups" in getattr(value, "__dict__", ())


def is_operator(kind) -> bool:
    """Whether it is the class of an operator of rushlight's."""
    return kind.__module__.startswith(tuple(f"{name}.ops." for name in _NAMES))


def pairs(container: dict) -> list:
    """What a dict holds, in order, past the methods of a user's class, which may make something new of it."""
    if isinstance(container, collections.OrderedDict):
        return [(key, dict.__getitem__(container, key)) for key in collections.OrderedDict.__iter__(container)]
    return list(dict.items(container))


def copied(container) -> Any:
    """A list, deque, set or dict that holds the same."""
    return dict(pairs(container)) if isinstance(container, dict) else container.copy()


def is_plain(value) -> bool:
    """Whether it is compared by value and cannot change."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_plain, value))
    return isinstance(value, PLAIN)


def moves_on(value) -> bool:
    """Whether it is an iterator that gives something else every time, and does not tell where it stands."""
    return iterates(value) and not hasattr(value, "__dict__")


def iterator(name: str) -> tuple:
    """What to say of an iterator that a function refers to."""
    return (
        f"'{name}' is an iterator, which moves on with every call",
        "Take the next item outside and give it as an argument.",
    )


def iterates(value) -> bool:
    """Whether it is an iterator, and no file."""
    return isinstance(value, Iterator) and not isinstance(value, (*weakref.ProxyTypes, io.IOBase))


def ours(function) -> bool:
    """Whether a function is rushlight's or the library's of Python or JAX: what it refers to does not change."""
    home = (getattr(function, "__module__", None) or "").partition(".")[0]
    return home in {*_NAMES, "jax", "numpy", "builtins"} or home in sys.stdlib_module_names


@functools.lru_cache(maxsize=512)
def slots(kind) -> tuple:
    """The attributes that objects of a user's class keep in slots."""
    names = []
    for home in kind.__mro__:
        own = vars(home).get("__slots__", ()) if not ours(home) else ()
        for name in (own,) if isinstance(own, str) else own:
            private = name[:2] == "__" and name[-2:] != "__"
            names.append(f"_{home.__name__.lstrip('_')}{name}" if private else name)
    return tuple(dict.fromkeys(n for n in names if n not in ("__dict__", "__weakref__")))


def closed(kind) -> bool:
    """Whether objects of a class are no bags of the user's things: what they hold is looked at in no detail."""
    home = kind.__module__
    return ours(kind) and home not in BAGS and home.partition(".")[0] not in _NAMES


def asks_itself(kind) -> bool:
    """Whether the methods of a class, which are Python's own, read the attributes of its objects."""
    return kind.__module__ in ("collections", "weakref")


def settled(function) -> bool:
    """Whether what may be called holds nothing that changes, apart from what functions refer to."""
    return not isinstance(function, functools.partial) and (isinstance(function, _FUNCTIONS) or ours(type(function)))


def inside(value) -> Any:
    """What one of ``ODD`` leads to now."""
    if isinstance(value, weakref.ref):
        return value()
    if isinstance(value, weakref.ProxyTypes):
        return getattr(getattr(value, "__repr__", None), "__self__", None)
    if isinstance(value, contextvars.ContextVar):
        return value.get(None)
    if isinstance(value, contextvars.Context):
        return dict(value)
    if isinstance(value, threading.local):
        return vars(value)
    if isinstance(value, types.MappingProxyType):
        return value | {}
    return list(value) if isinstance(value, _VIEWS) else None


def same(a, b) -> bool:
    """Whether two plain values are the same: of equal types, signs of zeros included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, frozenset):
        return {(type(v), v) for v in a} == {(type(v), v) for v in b}
    if a == b:
        return bool(a) or not isinstance(a, (float, complex, np.number)) or str(a) == str(b)
    return bool(a != a and b != b)


class Contents:
    """What a mutable value looks like now: plain contents by value, the rest by identity.

    Args:
        value: what to look at.
        asked: the names of attributes that matter; None for all.
    """

    def __init__(self, value, asked: set | None = None):
        self.value, self.asked = value, asked
        self._kept: list = []  # as long as they are held, nothing else gets their ids
        self.mark = self._look(value, {}, self._kept)
        self.moving = any(map(moves_on, self._kept))

    def changed(self, value) -> bool:
        """Whether ``value``, which is what is there now, looks different."""
        return self._look(value, {}, None) != self.mark

    def _identity(self, value, kept) -> int:
        if kept is not None:
            kept.append(value)
        return id(value)

    def _look(self, value, seen: dict, kept: list | None) -> Any:
        kind = type(value)
        if kind is float:
            return kind, value or str(value)
        if isinstance(value, PLAIN):
            return kind, value
        if id(value) in seen:
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
        if isinstance(value, (list, tuple, collections.deque)):
            kinds = set(map(type, value))
            if len(value) > 16 and kinds <= _QUICK:  # numbers in great number
                return kind, tuple(map(type, value)) if len(kinds) > 1 else kinds, tuple(value)
            return kind, tuple([self._look(v, seen, kept) for v in value])
        if isinstance(value, dict):
            return kind, tuple([(self._key(k, kept), self._look(v, seen, kept)) for k, v in pairs(value)])
        if isinstance(value, (set, frozenset)):
            return kind, frozenset([self._key(v, kept) for v in value])
        if isinstance(value, ARRAYS):
            if not _objects(value):
                return Bits(value, kept is not None)
            return kind, getattr(value, "shape", None), [self._look(v, seen, kept) for v in value]
        if isinstance(value, ODD):
            return kind, self._look(inside(value), seen, kept)
        if isinstance(value, functools.partial):
            return kind, self._look([value.func, value.args, value.keywords], seen, kept)
        if (
            isinstance(value, (Tensor, *_FUNCTIONS)) or is_module(value)
            or is_optimizer(value) or closed(kind)
        ):  # fmt: skip
            return self._identity(value, kept)
        held = {n: getattr(value, n) for n in slots(kind) if hasattr(value, n)}
        held.update(getattr(value, "__dict__", ()))
        asked = None if asks_itself(kind) else self.asked
        found = [(n, self._look(v, seen, kept)) for n, v in held.items() if asked is None or n in asked]
        return self._identity(value, kept), kind, tuple(found)

    def _key(self, key, kept) -> Any:
        return (type(key), key) if is_plain(key) else self._identity(key, kept)


def _objects(value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.hasobject
