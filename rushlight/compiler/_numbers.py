"""Owns the places that a varying number is read from: arguments, attributes, options of optimizers, variables outside.

May import jax and numpy alone.
"""

from __future__ import annotations

import functools
from types import CellType, ModuleType

import jax.numpy as jnp
import numpy as np


class Argument:
    """A number among the arguments.

    Args:
        place: which of the numbers of the call.
        name: what to call it in a message.
    """

    def __init__(self, place: int, name: str = ""):
        self.place, self.name = place, name
        self.key = "argument", place

    def reason(self, then, now) -> tuple:
        """Why a program for ``then`` must not be used, for ``explain``."""
        return "number", self.name, then, now, self.place

    def get(self, leaves):
        """Its value in a call."""
        return _of_python(leaves.numbers[self.place])

    def install(self, traced, trace, values) -> None:
        """Let the function see ``traced`` in its place."""
        values[self.place] = traced

    def put_back(self) -> None:
        """Undo ``install``."""


class Attribute:
    """A number that is an attribute of a module."""

    def __init__(self, module, name: str):
        self.module, self.name = module, name
        self.key = id(module), name

    def reason(self, then, now) -> tuple:
        """Why a program for ``then`` must not be used, for ``explain``."""
        return "attribute", self.module, self.name, then, now

    def get(self, leaves):
        """Its value now."""
        return _of_python(self.module.__dict__.get(self.name))

    def install(self, traced, trace, values) -> None:
        """Let the function see ``traced`` in its place."""
        trace.attributes[self.key] = traced

    def put_back(self) -> None:
        """Undo ``install``: the trace is over."""


class Option:
    """A number among the options of an optimizer's group."""

    def __init__(self, group, name: str):
        self.group, self.name = group, name
        self.key = id(group), name

    def reason(self, then, now) -> tuple:
        """Why a program for ``then`` must not be used, for ``explain``."""
        return "option", self.group, self.name, then, now

    def get(self, leaves):
        """Its value now."""
        return _of_python(self.group.get(self.name))

    def install(self, traced, trace, values) -> None:
        """Let the function see ``traced`` in its place."""
        trace.attributes[self.key] = traced

    def put_back(self) -> None:
        """Undo ``install``: the trace is over."""


class Name:
    """A number that a function refers to: a global, or a variable of an enclosing function."""

    def __init__(self, home, name: str):
        self.home, self.name = holder(home, name), name
        self.key = id(self.home), name

    def reason(self, then, now) -> tuple:
        """Why a program for ``then`` must not be used, for ``explain``."""
        return "name", self.home, self.name, then, now

    def get(self, leaves):
        """Its value now."""
        return _of_python(look_up(self.home, self.name))

    def install(self, traced, trace, values) -> None:
        """Let the function see ``traced`` in its place."""
        self.kept = look_up(self.home, self.name)
        self._set(traced)

    def put_back(self) -> None:
        """Undo ``install``."""
        if hasattr(self, "kept"):
            self._set(self.kept)
            del self.kept

    def _set(self, value) -> None:
        put(self.home, self.name, value)


class Row:
    """The number ``n``, which XLA is not to know.

    Taking row after row out of a stack by numbers that are constants makes a kernel of each; by inputs, they share one.
    """

    def __init__(self, n: int):
        self.n = n
        self.key = "row", n
        self.taken = None

    def get(self, leaves):
        """Its value, which is always the same."""
        return _row(self.n)

    def install(self, traced, trace, values) -> None:
        """Let the loops over layers find ``traced``."""
        trace.ordinals.append(traced)

    def put_back(self) -> None:
        """Undo ``install``: the trace is over."""


@functools.cache
def _row(n: int):
    return jnp.asarray(n, jnp.int32)


def holder(home, name: str):
    """The dict that an object keeps an attribute in, which may be found by both; anything else as it is."""
    if isinstance(home, (dict, CellType, type, ModuleType)) or name not in getattr(home, "__dict__", ()):
        return home
    return home.__dict__


def put(home, name: str, value) -> None:
    """Set a global name, a cell, or an attribute of a class, module, function or object."""
    if isinstance(home, dict):
        home[name] = value
    elif isinstance(home, CellType):
        home.cell_contents = value
    elif isinstance(home, (type, ModuleType)):
        setattr(home, name, value)
    else:
        object.__setattr__(home, name, value)  # of a frozen dataclass too


def look_up(home, name: str):
    """The value of a global name, of a cell, or of an attribute of a class, module, function or object."""
    if isinstance(home, dict):
        return home.get(name)
    if isinstance(home, (type, ModuleType)):
        return vars(home).get(name)
    if not isinstance(home, CellType):
        return getattr(home, name, None)
    try:
        return home.cell_contents
    except ValueError:
        return None


def is_number(value) -> bool:
    """Whether a value may become an input of a program."""
    return type(value) is float or type(value) is int or isinstance(value, (np.floating, np.integer))


def _of_python(value):
    """A number of numpy as one of Python, which is what operators take it for."""
    return value.item() if isinstance(value, np.generic) else value


def varying(reason):
    """The number that made a program unusable, as a place to read it from; None where it was no number."""
    kind = reason[0]
    if kind == "number" and type(reason[2]) is type(reason[3]):
        return Argument(reason[4], reason[1])
    if kind == "attribute" and is_number(reason[3]) and type(reason[3]) is type(reason[4]):
        return Attribute(reason[1], reason[2])
    if kind == "option" and len(reason) > 1 and is_number(reason[3]) and type(reason[3]) is type(reason[4]):
        return Option(reason[1], reason[2])
    if kind == "name" and is_number(reason[3]) and type(reason[3]) is type(reason[4]):
        return Name(reason[1], reason[2])
    return None
