"""Owns graphs as pickles: rows of nodes that name each other by place, so that long graphs are no deep ones.

May import nodes; graphs give themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _names
from .node import Node, map_aggregate, map_arg

if TYPE_CHECKING:
    from .graph import Graph

# What is kept of the notes on nodes; others may hold anything.
_KEPT = ("stack_trace", "is_wrapped", "tensor_meta", "type", "desc")


class _Place(int):
    """Stands for the node at a place."""

    __slots__ = ()


class _Function(str):
    """Stands for a public function, by the name it is printed under."""

    __slots__ = ()


def reduced(graph: Graph) -> Any:
    """What ``Graph.__reduce__`` gives."""
    places = {node: _Place(i) for i, node in enumerate(graph.nodes)}

    def row(n: Node) -> tuple:
        target = _Function(_names.public_name(n.target) or "") or n.target
        args, kwargs = (map_arg(part, places.__getitem__) for part in (n.args, n.kwargs))
        return n.op, target, args, kwargs, n.name, n.type, {key: n.meta[key] for key in _KEPT if key in n.meta}

    rows = [row(n) for n in graph.nodes]
    known = graph._tracer_cls is not None and "<locals>" not in graph._tracer_cls.__qualname__
    tracer_cls = graph._tracer_cls if known else None
    return _rebuilt, (type(graph), rows, graph._codegen, tracer_cls, graph._tracer_extras, graph._traced)


def _rebuilt(cls: type[Graph], rows: list[tuple], codegen: Any, tracer_cls: Any, extras: Any, traced: str) -> Graph:
    graph = cls(tracer_cls=tracer_cls, tracer_extras=extras)
    graph._codegen, graph._traced = codegen, traced
    made: list[Node] = []

    def there(value: Any) -> Any:
        return made[value] if isinstance(value, _Place) else value

    for op, target, args, kwargs, name, kind, meta in rows:
        target = _names.found(target) if isinstance(target, _Function) else target
        made.append(graph.create_node(op, target, map_aggregate(args, there), map_aggregate(kwargs, there), name, kind))
        made[-1].meta = meta
    return graph
