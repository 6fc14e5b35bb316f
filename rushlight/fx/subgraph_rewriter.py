"""Owns replacing parts of a graph: ``replace_pattern``, and its form with filters.

May import the tracer, the graph module and the search for patterns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..nn import Module
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule, _get_attr, _has_attr
from .node import Node

if TYPE_CHECKING:
    from .passes.utils.matcher_utils import InternalMatch

_Program = Callable[..., Any] | Graph | GraphModule
_Filter = Callable[["InternalMatch", Graph, Graph], bool]


class Match(NamedTuple):
    """Where a pattern was found: the pattern's node that the search began with, and the graph's node for each."""

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclass
class ReplacedPatterns:
    """Where a pattern was found, and the nodes that were put there."""

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


def _graph_of(program: _Program) -> Graph:
    if isinstance(program, Graph):
        return program
    return program.graph if isinstance(program, GraphModule) else symbolic_trace(program).graph


def replace_pattern(
    gm: GraphModule, pattern: Callable[..., Any] | GraphModule, replacement: Callable[..., Any] | GraphModule
) -> list[Match]:  # fmt: skip
    """Replace every part of a module's graph that computes what a pattern computes.

    Args:
        gm: the module; it is changed.
        pattern: a function, whose parameters stand for any values, or a traced module.
        replacement: what to compute instead, of the same parameters.

    Returns:
        Where the pattern was found.

    Raises:
        AssertionError: another number of parameters or results than the pattern has.

    Example:
        >>> import rushlight as torch
        >>> module = torch.fx.symbolic_trace(lambda x, y: torch.add(x, y) * 2)
        >>> found = torch.fx.replace_pattern(module, lambda a, b: torch.add(a, b), lambda a, b: torch.sub(a, b))
        >>> print(len(found), module.code.strip())
        1 def forward(self, x, y):
            sub = torch.sub(x, y);  x = y = None
            mul = sub * 2;  sub = None
            return mul
    """
    return [Match(one.anchor, one.nodes_map) for one in replace_pattern_with_filters(gm, pattern, replacement)]


def replace_pattern_with_filters(
    gm: GraphModule, pattern: _Program, replacement: _Program | None = None, match_filters: list[_Filter] | None = None,
    ignore_literals: bool = False, replacement_callback: Callable[[InternalMatch, Graph, Graph], Graph] | None = None,
    node_name_match: str = "",
) -> list[ReplacedPatterns]:  # fmt: skip
    """``replace_pattern`` for the matches that every filter accepts.

    Args:
        gm, pattern, replacement: as there; the latter two may also be graphs.
        match_filters: each says whether to replace a match, given the match, the graph and the pattern.
        ignore_literals: constants of the pattern match any others.
        replacement_callback: gives the replacement for a match.
        node_name_match: nodes whose name has this in it match every node.

    Raises:
        AssertionError: neither a replacement nor a callback, or one of another form than the pattern.
    """
    from .passes.utils.matcher_utils import SubgraphMatcher

    graph, wanted = gm.graph, _graph_of(pattern)
    matcher = SubgraphMatcher(wanted, ignore_literals=ignore_literals)
    matches = matcher.match(graph, node_name_match)
    matches = [one for one in matches if all(accept(one, graph, wanted) for accept in match_filters or ())]
    common = None if replacement is None else _graph_of(replacement)
    if common is None and replacement_callback is None:
        raise AssertionError("Must provide either a replacement GraphModule or a replacement callback")
    replaced: dict[Node, Node] = {}
    done = []
    for match in matches:
        made = common if replacement_callback is None else replacement_callback(match, graph, wanted)
        assert made is not None
        done.append(_replace(graph, wanted, made, match, replaced))
    gm.recompile()
    if isinstance(replacement, Module):
        _take_attributes(gm, replacement)
    return done


def _replace(
    graph: Graph, wanted: Graph, made: Graph, match: InternalMatch, replaced: dict[Node, Node]
) -> ReplacedPatterns:  # fmt: skip
    """Put a graph in the place of a match; ``replaced`` says what became of nodes of earlier matches."""
    inputs = made.find_nodes(op="placeholder")
    if len(match.placeholder_nodes) != len(inputs):
        raise AssertionError(f"Placeholder count mismatch: {len(match.placeholder_nodes)} vs {len(inputs)}")
    for key, node in match.nodes_map.items():
        if key.op == "placeholder" and isinstance(node, Node):
            match.nodes_map[key] = replaced.get(node, node)
    match.placeholder_nodes = [
        replaced.get(node, node) if isinstance(node, Node) else node for node in match.placeholder_nodes
    ]
    values: dict[Node, Any] = dict(zip(inputs, match.placeholder_nodes, strict=True))
    users = {user for node in match.returning_nodes for user in node.users}
    # Before the first user; where nothing uses it, after the last node that gave a result.
    place = next((node for node in graph.nodes if node in users), None)
    if place is None:
        place = next(node for node in reversed(graph.nodes) if node in match.returning_nodes).next
    with graph.inserting_before(place):
        results: Any = graph.graph_copy(made, values)
    results = (results,) if isinstance(results, Node) else results
    if len(match.returning_nodes) != len(results):
        raise AssertionError(f"Returning nodes count mismatch: {len(match.returning_nodes)} vs {len(results)}")
    for old, new in zip(match.returning_nodes, results, strict=True):
        old.replace_all_uses_with(new)
        replaced[old] = new
    for node in reversed(wanted.nodes):
        if node.op not in ("placeholder", "output"):
            graph.erase_node(match.nodes_map[node])
    new_nodes = [node for node in values.values() if node not in match.placeholder_nodes]
    return ReplacedPatterns(match.anchors[0], match.nodes_map, new_nodes)


def _take_attributes(gm: GraphModule, replacement: Module) -> None:
    """Give the module what the nodes of a replacement name, and take away what no node names any more."""
    gm.delete_all_unused_submodules()
    if isinstance(replacement, GraphModule):
        replacement.graph.lint()
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr") or _has_attr(gm, node.target):
            continue
        if not _has_attr(replacement, node.target):
            raise RuntimeError(
                f'Attempted to create a "{node.op}" node during subgraph rewriting with target {node.target}, but the '
                "referenced attribute does not exist in the replacement GraphModule"
            )
        value = copy.deepcopy(_get_attr(replacement, node.target))
        if isinstance(value, Module):
            gm.add_submodule(node.target, value)
        else:
            setattr(gm, node.target, value)
    gm.graph.lint()


__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]
