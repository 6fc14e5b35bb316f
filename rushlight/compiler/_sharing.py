"""Owns results of a compiled function that share memory, with each other, with arguments or with state: as in eager.

May import the tensor class and its views, and jax.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.core import Tracer

from .._tensor import views
from .._tensor.tensor import Tensor


class Link:
    """A result that is a view of the memory of another.

    Args:
        at: which of the results.
        root: the one whose memory it is.
        path: the view, from that memory.
        base: the one that it is a view of; None for a detached one.
        relative: the view, from there.
        home: the slot of state that the memory is; None for any other.
    """

    __slots__ = ("at", "base", "home", "path", "relative", "root")

    def __init__(self, at, root, path, base, relative, home):
        self.at, self.root, self.path, self.base, self.relative, self.home = at, root, path, base, relative, home

    def join(self, made, outs, place) -> None:
        """Let the two share memory, now that both are made."""
        out, root = made[self.at], made[self.root]
        if out is not root:
            array, out._storage = out._storage.array, root._storage
            out._path = (*root._path, *_with_numbers(self.path, outs, place))
            if out._path:
                out._cache, out._cache_version = array, root._storage.version
        if self.base is not None:
            base, relative = made[self.base], _with_numbers(self.relative, outs, place)
            if base._base is not None:
                base, relative = base._base, (*base._relative, *relative)
            out._base, out._relative, out._seen = base, relative, base._history


class _Number:
    """A number that the program computes."""

    __slots__ = ("at",)

    def __init__(self, at: int):
        self.at = at


def _with_numbers(path, outs, place) -> tuple:
    return tuple(
        [(program, tuple([outs[place[d.at]] if type(d) is _Number else d for d in numbers]))
         for program, numbers in path]
    )  # fmt: skip


def share(trace, held, kinds, outputs, visit) -> list:
    """Find the results that share memory.

    Args:
        trace: the trace, whose function is over.
        held: ``(place, tensor)`` of the results that are tensors made inside; it grows with what they are views of.
        kinds: what the results are, to which is added what they share memory with.
        outputs: the arrays that the program gives.
        visit: adds a result.
    """
    groups: dict = {}
    for at, value in held:
        groups.setdefault(id(value._storage), []).append((at, value))
    links: list = []

    def numbered(path):
        found = []
        for program, numbers in path:
            taken: list = list(numbers)
            for i, number in enumerate(taken):
                if isinstance(number, Tracer):
                    taken[i] = _Number(len(outputs))
                    outputs.append(number)
            found.append((program, taken))
        return found

    for group in groups.values():
        storage = group[0][1]._storage
        home, argument = trace.places.get(id(storage)), trace.looks.home(group[0][1])
        whole = next((at for at, value in group if not value._path), None)
        if argument is not None:
            root: Any = visit(trace.arguments[argument])
        elif home is not None:
            kinds.append(("shared", storage, Tensor))
            root = len(kinds) - 1
        elif len(group) < 2 or (whole is None and not _overlap(storage, [value for _, value in group])):
            continue
        else:
            root = None
        members = list(group)
        for _, value in members:
            if value._base is not None:
                known = len(held)
                visit(value._base)
                members += held[known:]
        if root is None:
            root = next((at for at, value in members if not value._path), None)
        if root is None:
            alone = Tensor._alias(group[0][1])
            alone._path = ()
            root = visit(alone)
        for at, value in members:
            base = visit(value._base) if value._base is not None else None
            if at != root or base is not None:
                path = value._path[argument is not None :]
                links.append(Link(at, root, numbered(path), base, numbered(value._relative), home))
    return links


def same_tensors(slots, held, visit) -> list:
    """Results that are also put into attributes, or share memory with what is: ``(attributes, name, place)``."""
    storages = {id(value._storage) for _, value in held}
    found = [(where, name, where.get(name)) for where, name, *_ in slots]
    return [(where, name, visit(value)) for where, name, value in found if id(value._storage) in storages]


def _overlap(storage, tensors) -> bool:
    """Whether some views of a storage have elements in common; True where that is not known."""
    marks = np.zeros(storage.form.size, bool)
    for tensor in tensors:
        try:
            shape, strides, offset = views.geometry(storage.form.shape, tensor._path)
            seen = np.lib.stride_tricks.as_strided(marks[offset:], shape, strides)
        except (NotImplementedError, TypeError, ValueError):
            return True
        if seen.any():
            return True
        seen[...] = True
    return False
