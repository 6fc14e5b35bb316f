"""Owns nested tuples, lists and dicts: taking them apart into leaves, and putting leaves back.

May import nothing.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any


class Spec:
    """How a nested value was built: its type, what distinguishes it, and the specs of its children; a leaf has none.

    Attributes:
        count: how many leaves are below.
    """

    __slots__ = ("children", "context", "count", "kind")

    def __init__(self, kind: Any, context: Any = None, children: tuple = ()):
        self.kind, self.context, self.children = kind, context, children
        self.count: int = sum(c.count for c in children) if kind is not None else 1

    def __eq__(self, other) -> bool:
        return (
            isinstance(other, Spec)
            and self.kind is other.kind
            and self.context == other.context
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.count))

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        inner = ", ".join(map(repr, self.children))
        if issubclass(self.kind, dict):
            inner = ", ".join(f"{key!r}: {child!r}" for key, child in zip(self.context, self.children))
            return "{" + inner + "}"
        return f"[{inner}]" if self.kind is list else f"({inner}{',' * (len(self.children) == 1)})"


LEAF = Spec(None)


def _parts(value: Any) -> tuple | None:
    """The context and the children of a container; None for a leaf."""
    kind = type(value)
    if kind is tuple or kind is list or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return None, tuple(value)
    if kind is dict or kind is OrderedDict or kind is defaultdict:
        return tuple(value), tuple(value[key] for key in value)
    return None


def flatten(value: Any) -> tuple[list, Spec]:
    """The leaves of a nested value, and how it was built.

    Example:
        >>> flatten({"a": 1, "b": (2, [3])})
        ([1, 2, 3], {'a': *, 'b': (*, [*])})
    """
    leaves: list = []
    return leaves, _flatten(value, leaves)


def _flatten(value: Any, leaves: list) -> Spec:
    parts = _parts(value)
    if parts is None:
        leaves.append(value)
        return LEAF
    context, children = parts
    return Spec(type(value), context, tuple([_flatten(child, leaves) for child in children]))


def unflatten(leaves: Any, spec: Spec) -> Any:
    """The nested value with these leaves."""
    return _build(iter(leaves), spec)


def _build(supply: Any, spec: Spec) -> Any:
    if spec.kind is None:
        return next(supply)
    children = [_build(supply, child) for child in spec.children]
    if spec.kind is list:
        return children
    if spec.kind is tuple:
        return tuple(children)
    if issubclass(spec.kind, dict):
        pairs = zip(spec.context, children)
        return defaultdict(None, pairs) if spec.kind is defaultdict else spec.kind(pairs)
    return spec.kind(*children)


def broadcast(prefix: Any, spec: Spec) -> list | None:
    """One value per leaf, from a nested value that may stop early; None where it does not fit.

    Example:
        >>> broadcast((0, None), flatten((1, [2, 3]))[1])
        [0, None, None]
    """
    parts = _parts(prefix)
    if parts is None:
        return [prefix] * spec.count
    context, children = parts
    if spec.kind is not type(prefix) or context != spec.context or len(children) != len(spec.children):
        return None
    out: list = []
    for child, below in zip(children, spec.children):
        more = broadcast(child, below)
        if more is None:
            return None
        out += more
    return out


def map_leaves(function: Any, value: Any) -> Any:
    """The nested value with a function applied to every leaf."""
    leaves, spec = flatten(value)
    return unflatten([function(leaf) for leaf in leaves], spec)
