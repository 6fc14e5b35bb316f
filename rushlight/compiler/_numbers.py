"""Owns the places that a varying number is read from: an argument, an attribute, a closure's cell, a global name.

May import jax alone.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp


class Argument:
    """A number among the arguments.

    Args:
        place: which of the numbers of the call.
    """

    def __init__(self, place: int):
        self.place = place
        self.key = "argument", place

    def get(self, leaves):
        """Its value in a call."""
        return leaves.numbers[self.place]

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

    def get(self, leaves):
        """Its value now."""
        return self.module.__dict__[self.name]

    def install(self, traced, trace, values) -> None:
        """Let the function see ``traced`` in its place."""
        trace.attributes[self.key] = traced

    def put_back(self) -> None:
        """Undo ``install``: the trace is over."""


class Name:
    """A number that a function refers to: a global, or a variable of an enclosing function."""

    def __init__(self, home, name: str):
        self.home, self.name = home, name
        self.key = id(home), name

    def get(self, leaves):
        """Its value now."""
        return look_up(self.home, self.name)

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
        if isinstance(self.home, dict):
            self.home[self.name] = value
        else:
            self.home.cell_contents = value


class Row:
    """The number ``n``, which XLA is not to know.

    Taking row after row out of a stack by numbers that are constants makes a kernel of each; by inputs, they share one.
    """

    def __init__(self, n: int):
        self.n = n
        self.key = "row", n

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


def look_up(home, name: str):
    """The value of a global name or of a cell."""
    if isinstance(home, dict):
        return home.get(name)
    try:
        return home.cell_contents
    except ValueError:
        return None


def is_number(value) -> bool:
    """Whether a value may become an input of a program."""
    return type(value) is float or type(value) is int
