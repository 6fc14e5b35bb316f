"""Owns arguments that are objects of users' classes and hold tensors, as batches do: they go by what they hold.

May import the tensor class and what is told of Python's values.
"""

from __future__ import annotations

import enum

import numpy as np

from .._tensor.tensor import Tensor
from ._contents import PLAIN, is_module, is_optimizer, ours, slots

_HEAP = 1 << 9  # classes made by a class statement
_DEEP = 4


def own(value) -> list:
    """The attributes that an object itself has, as pairs."""
    held = [(name, getattr(value, name)) for name in slots(type(value)) if hasattr(value, name)]
    return [*held, *getattr(value, "__dict__", {}).items()]


def may_be_record(value) -> bool:
    """Whether an object is nothing but its attributes, which could be those of another."""
    kind = type(value)
    return not (
        ours(kind) or isinstance(value, (type, enum.Enum)) or callable(value) or hasattr(kind, "__del__")
        or is_module(value) or is_optimizer(value)
        or any(home is not object and not home.__flags__ & _HEAP for home in kind.__mro__)
    )  # fmt: skip


class Records:
    """The classes whose objects go by what they hold.

    Attributes:
        kinds: these classes.
    """

    def __init__(self):
        self.kinds: set = set()
        self._first: dict = {}

    def grown(self, objects) -> bool:
        """Whether some objects turn out to be of such a class: they hold tensors, or are made anew for every call."""
        found = False
        for value in objects:
            kind = type(value)
            if kind in self.kinds or not may_be_record(value):
                continue
            held = dict(own(value)).values()
            again = hasattr(kind, "__dataclass_fields__") and self._first.setdefault(kind, id(value)) != id(value)
            if (again or any(map(_holds_tensor, held))) and all(_simple(v, 0) for v in held):
                self.kinds.add(kind)
                found = True
        return found


def _holds_tensor(value) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, dict) and any(isinstance(v, Tensor) for v in value.values()))


def _simple(value, depth: int) -> bool:
    """Whether a value is of the kind that batches hold; an object with modules goes by what it is."""
    if isinstance(value, (Tensor, np.ndarray, enum.Enum, *PLAIN)) or depth > _DEEP:
        return True
    if isinstance(value, dict):
        return all(_simple(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(_simple(v, depth + 1) for v in value)
    return may_be_record(value) and all(_simple(v, depth + 1) for _, v in own(value))


def write(value, held: dict) -> None:
    """Give an object attributes, past what its class does then."""
    for name in [name for name, _ in own(value) if name not in held]:
        object.__delattr__(value, name)
    for name, item in held.items():
        object.__setattr__(value, name, item)
