"""Owns taking arguments and results apart into tensors, numbers and structure, and putting them together again.

May import the tensor class, numpy, jax and how this folder tells values apart.
"""

# Structures may be of any type; a type checker narrows them further than is true.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import fractions
import pathlib
import types
import uuid
from typing import Any

import numpy as np
from jax.core import Tracer

from .. import _device, dtypes
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ._bytes import Bits
from ._contents import ODD, OPAQUE, is_module, is_optimizer, iterates, pairs, slots
from ._host import HostNumber
from ._numbers import is_number
from ._records import own, write

_PLAIN = (bool, str, bytes, complex, type(None), type(Ellipsis), np.bool_, np.complex64, np.complex128)
_BY_VALUE: Any = (dtypes.dtype, dtypes.Size, _device.device)
_NO_OBJECTS: Any = (
    *_PLAIN, *_BY_VALUE, *OPAQUE, *ODD, Tensor, Storage, types.FunctionType, types.MethodType
)  # fmt: skip


class Leaves:
    """What a structure holds besides structure.

    Attributes:
        arrays: its numpy arrays, as the key holds them.
        containers: its lists, dicts and records, in order of appearance.
        records: the classes whose objects go by what they hold.
        tensors: each tensor once, in order of appearance.
        numbers: ints and floats in order of appearance.
        names: what to call each number in a message.
        objects: everything that is compared by identity.
        values: a program, and what its formulas gave for the numbers of this call.
    """

    __slots__ = ("arrays", "containers", "index", "names", "numbers", "objects", "records", "tensors", "values")

    def __init__(self, records=()):
        self.records = records
        self.arrays: list = []
        self.containers: list = []
        self.tensors: list = []
        self.numbers: list = []
        self.names: list = []
        self.objects: list = []
        self.index: dict = {}
        self.values: tuple = (None, {})


def flatten(value, leaves: Leaves, name: str = "") -> Any:
    """The structure of a value as something that can be a key; what it holds is added to ``leaves``."""
    kind = type(value)
    if isinstance(value, Tensor):
        place = leaves.index.setdefault(id(value), len(leaves.tensors))
        if place == len(leaves.tensors):
            leaves.tensors.append(value)
        return place
    if is_number(value):
        leaves.numbers.append(value)
        leaves.names.append(name)
        return kind
    if kind in _PLAIN or isinstance(value, _BY_VALUE):
        return "value", kind, value
    if isinstance(value, (tuple, list)):
        if kind is not tuple and isinstance(value, list):
            leaves.containers.append(value)
        return "list", kind, tuple([flatten(v, leaves, f"{name}[{i}]") for i, v in enumerate(value)])
    if isinstance(value, dict):
        leaves.containers.append(value)
        return (
            "dict",
            kind,
            tuple(
                [
                    (k if type(k) is str else (type(k), k), flatten(v, leaves, f"{name}[{k!r}]"))
                    for k, v in value.items()
                ]
            ),
        )
    if kind is slice:
        return "slice", kind, tuple([flatten(v, leaves, name) for v in (value.start, value.stop, value.step)])
    if kind is np.ndarray and not value.dtype.hasobject:
        leaves.objects.append(value)
        leaves.arrays.append(Bits(value, False))
        return leaves.arrays[-1]
    if kind in leaves.records:
        for place, held in enumerate(leaves.containers):
            if value is held:
                return "again", kind, place
        leaves.containers.append(value)
        return "record", kind, tuple([(n, flatten(v, leaves, f"{name}.{n}")) for n, v in own(value)])
    if kind in _EXACT:
        return "exact", kind, repr(value)
    leaves.objects.append(value)
    return "object", kind, id(value)


# Their objects do not change, and are written as what they are.
_EXACT = frozenset({
    datetime.date, datetime.timedelta, decimal.Decimal, fractions.Fraction, range, type(pathlib.Path()),
    type(pathlib.PurePath()), uuid.UUID,
})  # fmt: skip


def noticed(leaves) -> list:
    """The lists, dicts, arrays and attributes of records of which ``flatten`` took notice."""
    held = [getattr(c, "__dict__", c) if type(c) in leaves.records else c for c in leaves.containers]
    return held + [o for o in leaves.objects if type(o) is np.ndarray and not o.dtype.hasobject]


def mutable(value, records=()) -> list:
    """The lists, dicts and records that ``flatten`` finds, in its order."""
    found: list = []
    _mutable(value, records, found)
    return found


def _mutable(value, records, found: list) -> None:
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, (tuple, list)) and not isinstance(value, _BY_VALUE):
        parts = value
    elif type(value) in records:
        if any(value is held for held in found):
            return
        parts = [v for _, v in own(value)]
    if type(value) is not tuple and (isinstance(value, (list, dict)) or type(value) in records):
        found.append(value)
    for part in parts:
        _mutable(part, records, found)


def replace_numbers(value: Any, supply, records=(), made=None) -> Any:
    """The same structure with its numbers taken from ``supply``, in the order of ``flatten``."""
    kind: Any = type(value)
    if is_number(value):
        return next(supply)
    made = {} if made is None else made  # each record once
    if kind in records:
        if id(value) not in made:
            out = made[id(value)] = object.__new__(kind)
            write(out, {n: replace_numbers(v, supply, records, made) for n, v in own(value)})
        return made[id(value)]
    if isinstance(value, (tuple, list)) and not isinstance(value, _BY_VALUE):
        items = [replace_numbers(v, supply, records, made) for v in value]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if isinstance(value, dict):
        copied = value.copy()
        for key, item in value.items():
            copied[key] = replace_numbers(item, supply, records, made)
        return copied
    if kind is slice:
        return slice(*[replace_numbers(v, supply, records, made) for v in (value.start, value.stop, value.step)])
    return value


def take_apart(value: Any, visit, outside=()) -> Any:
    """A plan that builds a result again: a function of the list of rebuilt leaves.

    Args:
        value: what a function returned.
        visit: gets each tensor (or traced array) and returns its place in the list, or None for any other leaf.
        outside: the ids of objects that the function did not make itself.
    """
    taken = _Taken(visit, outside)
    plan = taken.plan(value)
    return (lambda made: plan(_Made(made))) if taken.objects else plan


class _Made(list):
    """Rebuilt leaves, and the objects that hold them, for as long as one result is built."""

    def __init__(self, leaves):
        super().__init__(leaves)
        self.objects: dict = {}


class _Taken:
    """Takes one result apart.

    Args:
        visit, outside: as for ``take_apart``.
    """

    def __init__(self, visit, outside):
        self.visit, self.outside = visit, outside
        self.objects: dict = {}

    def plan(self, value) -> Any:
        """What builds ``value`` again."""
        place = self.visit(value)
        if place is not None:
            return lambda made: made[place]
        kind: Any = type(value)
        if isinstance(value, (tuple, list)) and not isinstance(value, _BY_VALUE):
            parts = [self.plan(v) for v in value]
            if hasattr(kind, "_fields"):
                return lambda made: kind(*[part(made) for part in parts])
            return lambda made: kind([part(made) for part in parts])
        if kind is dict or (isinstance(value, dict) and not hasattr(value, "__dataclass_fields__")):
            return self._dict(value)
        if (dataclasses.is_dataclass(value) and not isinstance(value, type)) or self._made_inside(value):
            return self._object(value)
        return lambda made: value

    def _dict(self, value) -> Any:
        items = [(key, self.plan(v)) for key, v in value.items()]
        empty = value.copy()
        empty.clear()

        def build(made):
            out = empty.copy()
            for key, part in items:
                out[key] = part(made)
            return out

        return build

    def _made_inside(self, value) -> bool:
        """Whether it is an object of the function's own making that leads to tensors, such as a cache of keys."""
        if id(value) in self.objects:
            return True
        if id(value) in self.outside or not _is_object(value):
            return False
        seen: dict = {}
        stack = [value]
        while stack:
            one = stack.pop()
            if id(one) in seen:
                continue
            seen[id(one)] = one
            if isinstance(one, (Tensor, Tracer)) or type(one) is HostNumber:
                return True
            if isinstance(one, dict):
                stack += [v for _, v in pairs(one)]
            elif isinstance(one, (tuple, list)):
                stack += one
            elif _is_object(one) and id(one) not in self.outside:
                stack += _attributes(one).values()
        return False

    def _object(self, value) -> Any:
        """Objects: their attributes, and the entries of those that are mappings besides (model outputs often are)."""
        kind: Any = type(value)
        name = id(value)
        if name in self.objects:
            return lambda made: made.objects[name]
        if not dataclasses.is_dataclass(value):
            self.objects[name] = value
        own = {key: self.plan(v) for key, v in _attributes(value).items()}
        entries = {key: self.plan(v) for key, v in pairs(value)} if isinstance(value, dict) else {}
        put = collections.OrderedDict.__setitem__ if isinstance(value, collections.OrderedDict) else dict.__setitem__
        shared = name in self.objects

        def build(made):
            if shared and name in made.objects:
                return made.objects[name]
            out = kind.__new__(kind)
            if shared:
                made.objects[name] = out
            for key, part in own.items():
                object.__setattr__(out, key, part(made))
            for key, part in entries.items():
                put(out, key, part(made))
            return out

        return build


def _attributes(value) -> dict:
    held = {name: getattr(value, name) for name in slots(type(value)) if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def _is_object(value) -> bool:
    """Whether it is an object that can be made again from its attributes."""
    kind = type(value)
    if isinstance(value, _NO_OBJECTS) or kind is HostNumber:
        return False
    plain = kind.__new__ is object.__new__ and kind.__module__ != "builtins" and not iterates(value)
    return plain and hasattr(value, "__dict__") and not is_module(value) and not is_optimizer(value)
