"""Owns the order of a graph's nodes: walking along them, and the place where new ones go.

May import nothing at run time; graphs give themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graph import Graph
    from .node import Node


class _InsertPoint:
    """A block in which new nodes get another place; the place counts from the making of this on, as in torch."""

    def __init__(self, graph: Graph, insert: Callable[[Node], None]):
        self.graph, self.before = graph, graph._insert
        graph._insert = insert

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        self.graph._insert = self.before


class _node_list:
    """The nodes of a graph in order; nodes may be added and erased while one walks along it."""

    def __init__(self, graph: Graph, direction: str = "_next"):
        self.graph, self.direction = graph, direction

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Any]:
        root, direction = self.graph._root, self.direction
        at = getattr(root, direction)
        while at is not root:
            if not at._erased:
                yield at
            at = getattr(at, direction)

    def __reversed__(self) -> Iterator[Any]:
        return iter(_node_list(self.graph, "_prev" if self.direction == "_next" else "_next"))
