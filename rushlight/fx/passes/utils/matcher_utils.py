"""Owns finding a pattern in a graph: ``SubgraphMatcher``.

May import nodes and graphs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from ...._tensor.tensor import Tensor
from ...graph import Graph
from ...graph_module import _get_attr
from ...node import Node


@dataclass
class InternalMatch:
    """Where a pattern was found.

    Attributes:
        anchors: the nodes of the pattern that the search began with.
        nodes_map: for each node of the pattern, the graph's.
        placeholder_nodes: what stands in the places of the pattern's inputs.
        returning_nodes: what stands in the places of the pattern's outputs.
    """

    anchors: list[Node]
    nodes_map: dict[Node, Node] = field(default_factory=dict)
    placeholder_nodes: list[Node] = field(default_factory=list)
    returning_nodes: list[Node] = field(default_factory=list)
    name_node_map: dict[str, Node] = field(default_factory=dict)

    def __copy__(self) -> InternalMatch:
        return InternalMatch(
            self.anchors, dict(self.nodes_map), list(self.placeholder_nodes), list(self.returning_nodes)
        )  # fmt: skip


def _inner(match: InternalMatch) -> list[Node]:
    """The nodes of the graph that compute what the pattern computes."""
    return [gn for pn, gn in match.nodes_map.items() if pn.op not in ("placeholder", "output")]


def _would_form_a_cycle(nodes: list[Node]) -> bool:
    """Whether a value goes out of a set of nodes and comes back into it."""
    inside, seen = set(nodes), set()
    waiting = [user for node in nodes for user in node.users if user not in inside]
    while waiting:
        node = waiting.pop()
        if node in inside:
            return True
        if node not in seen:
            seen.add(node)
            waiting += node.users
    return False


class SubgraphMatcher:
    """Looks for the places of a graph that compute what a pattern computes.

    Args:
        pattern: the pattern.
        match_output: the pattern's output stands for the graph's.
        match_placeholder: the pattern's inputs stand for inputs of the graph.
        remove_overlapping_matches: of matches that share nodes, keep the first.
        ignore_literals: constants may differ.

    Raises:
        ValueError: an empty pattern.
        AssertionError: a pattern with steps that nothing uses.
    """

    def __init__(
        self, pattern: Graph, match_output: bool = False, match_placeholder: bool = False,
        remove_overlapping_matches: bool = True, ignore_literals: bool = False,
    ):  # fmt: skip
        self.pattern, self.match_output, self.match_placeholder = pattern, match_output, match_placeholder
        self.remove_overlapping_matches, self.ignore_literals = remove_overlapping_matches, ignore_literals
        if len(pattern.nodes) == 0:
            raise ValueError("SubgraphMatcher cannot be initialized with an empty pattern")
        if any(node.op != "output" and not node.users and not node.is_impure() for node in pattern.nodes):
            raise AssertionError("SubgraphMatcher cannot be initialized with an pattern with dead code")
        self.pattern_placeholder_nodes = pattern.find_nodes(op="placeholder")
        output = next(iter(reversed(pattern.nodes)))
        self.pattern_returning_nodes: list[Node] = output.all_input_nodes
        # An output that the pattern uses further is found from where it is used.
        alone = [node for node in output.all_input_nodes if len(node.users) == 1]
        self.pattern_anchors: list[Node] = [output] if match_output else alone

    def _same_attribute(self, pn: Node, gn: Node) -> bool:
        ours, theirs = (_get_attr(node.graph.owning_module, node.target) for node in (pn, gn))  # type: ignore[arg-type]
        if type(ours) is not type(theirs):
            return False
        if not isinstance(ours, Tensor):
            raise RuntimeError(f"Unsupported type {ours} when matching attributes")
        return True

    def _same(self, pn: Node, gn: Node, node_name_match: str = "") -> bool:
        if not self.match_placeholder and pn.op == "placeholder":
            return True
        if node_name_match and node_name_match in gn.name:
            return True
        if pn.op != gn.op:
            return False
        if pn.op == "get_attr":
            return self._same_attribute(pn, gn)
        return pn.op in ("placeholder", "output") or pn.target == gn.target

    def _literal(self, pn: Any, gn: Any, match: InternalMatch) -> bool:
        if isinstance(pn, Node):
            if pn.op != "placeholder":
                return False
            return match.nodes_map.setdefault(pn, gn) == gn
        return not isinstance(gn, Node) and type(gn) is type(pn) and gn == pn

    def _arguments(self, pattern: Any, found: Any, match: InternalMatch) -> bool:
        if len(pattern) != len(found):
            return False
        for one, other in zip(pattern, found, strict=True):
            if isinstance(one, Node) and isinstance(other, Node):
                same = self._nodes(one, other, match)
            elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
                same = self._arguments(one, other, match)
            else:
                same = self._literal(one, other, match) or self.ignore_literals
            if not same:
                return False
        return True

    def _nodes(self, pn: Node, gn: Node, match: InternalMatch, node_name_match: str = "") -> bool:
        """Whether the pattern up to a node is what the graph has up to a node; the match takes note."""
        if pn in match.nodes_map:
            return match.nodes_map[pn] is gn
        if any(gn is one for one in match.nodes_map.values()) or not self._same(pn, gn, node_name_match):
            return False
        match.nodes_map[pn] = gn
        if pn.op == "placeholder":
            return True
        if list(pn.kwargs) != list(gn.kwargs):
            return False
        return self._arguments([*pn.args, *pn.kwargs.values()], [*gn.args, *gn.kwargs.values()], match)

    def _is_contained(self, match: InternalMatch) -> bool:
        """Whether what the pattern keeps to itself is used by nothing else."""
        own = {gn: pn for pn, gn in match.nodes_map.items() if pn.op != "placeholder"}
        kept = (gn for gn, pn in own.items() if pn not in self.pattern_returning_nodes)
        return all(user in own for gn in kept for user in gn.users)

    def match(self, graph: Graph, node_name_match: str = "") -> list[InternalMatch]:
        """The places where the pattern is found.

        Args:
            graph: the graph.
            node_name_match: nodes whose name has this in it match every node.
        """
        candidates = [
            (anchor, found)
            for anchor in self.pattern_anchors
            if (found := [node for node in graph.nodes if self._same(anchor, node, node_name_match)])
        ]
        matches: list[InternalMatch] = []

        def search(at: int, match: InternalMatch) -> None:
            if at == len(candidates):
                match.placeholder_nodes = [match.nodes_map[pn] for pn in self.pattern_placeholder_nodes]
                match.returning_nodes = [match.nodes_map[pn] for pn in self.pattern_returning_nodes]
                matches.append(match)
                return
            anchor, nodes = candidates[at]
            for node in nodes:
                attempt = copy.copy(match)
                if self._nodes(anchor, node, attempt, node_name_match):
                    search(at + 1, attempt)

        if candidates:
            search(0, InternalMatch(anchors=self.pattern_anchors))
        matches = [one for one in matches if self._is_contained(one) and not _would_form_a_cycle(_inner(one))]
        if not self.remove_overlapping_matches:
            return matches
        taken: set[Node] = set()
        kept = []
        for one in matches:
            nodes = _inner(one)
            if taken.isdisjoint(nodes):
                kept.append(one)
                taken.update(nodes)
        return kept


__all__ = ["InternalMatch", "SubgraphMatcher"]
