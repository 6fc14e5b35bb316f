"""Owns the one reverse walk over the tape: accumulation, hooks, retained gradients, captured inputs, anomaly mode.

May import node and modes; what a gradient is (array or tensor) is left to the few functions bound by the tensor class.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from .modes import state
from .node import Node


class Values:
    """What the walk must be able to do with gradients; the tensor class fills these in.

    ``wrap`` and ``unwrap`` turn an array into a tensor and back, ``add`` sums two gradients, ``accumulate`` stores one
    in a leaf, ``has_nan`` looks for NaN.
    """

    wrap: Callable
    unwrap: Callable
    add: Callable
    accumulate: Callable
    has_nan: Callable
    saved: Callable
    render: Callable
    # Bound by the operators, which come later still.
    execute: Callable
    node: Callable
    construct: Callable
    cast: Callable
    backward: Callable


def edge_key(edge):
    """What names an edge in sets: tensors compare elementwise, so a leaf goes by its identity."""
    return edge if isinstance(edge[0], Node) else id(edge[0])


def _reachable(roots, wanted: set) -> set:
    """The nodes from which some wanted edge can be reached; the walk skips all others."""
    useful: set = set()
    seen: set = set()
    stack = [(node, False) for node, _ in roots if isinstance(node, Node)]
    while stack:
        node, done = stack.pop()
        if done:
            for edge in node.edges:
                if edge is not None and (edge_key(edge) in wanted or (isinstance(edge[0], Node) and edge[0] in useful)):
                    useful.add(node)
                    break
            continue
        if node in seen:
            continue
        seen.add(node)
        stack.append((node, True))
        for edge in node.edges:
            if edge is not None and isinstance(edge[0], Node) and edge[0] not in seen:
                stack.append((edge[0], False))
    return useful


def leaf_edges(edges):
    """Go through the edges to leaves that can be reached from ``edges``; a leaf may come several times."""
    seen: set = set()
    stack = list(edges)
    while stack:
        edge = stack.pop()
        if edge is None:
            continue
        target = edge[0]
        if not isinstance(target, Node):
            yield edge
        elif target not in seen:
            seen.add(target)
            stack.extend(target.edges)


class _Walk:
    def __init__(self, create_graph: bool, keep_graph: bool):
        self.create_graph = create_graph
        self.keep_graph = keep_graph
        self.pending: dict = {}
        self.heap: list = []
        self.leaves: dict = {}

    def give(self, edge, grad) -> None:
        target, index = edge
        if not isinstance(target, Node):
            held = self.leaves.get(id(target))
            if held is None:
                self.leaves[id(target)] = [target, grad]
            else:
                held[1] = Values.add(held[1], grad)
            return
        slots = self.pending.get(target)
        if slots is None:
            slots = self.pending[target] = [None] * target.outputs
            heapq.heappush(self.heap, (-target.seq, target))
        slots[index] = grad if slots[index] is None else Values.add(slots[index], grad)

    def hook(self, hooks, grad):
        """Run tensor hooks on one gradient."""
        value = grad if self.create_graph else Values.wrap(grad)
        for hook in tuple(hooks.values()):
            result = hook(value)
            if result is not None:
                value = result
        return value if self.create_graph else Values.unwrap(value)

    def hook_all(self, hooks, *groups):
        """Run node hooks; the first group is what they may replace."""
        wrapped = [tuple(g if g is None or self.create_graph else Values.wrap(g) for g in group) for group in groups]
        for hook in tuple(hooks.values()):
            result = hook(*wrapped)
            if result is not None:
                wrapped[0] = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        return [g if g is None or self.create_graph else Values.unwrap(g) for g in wrapped[0]]


def backward(roots, *, keep_graph=False, create_graph=False, wanted=None, accumulate=True):
    """Walk the tape from ``roots`` back to its leaves.

    Args:
        roots: ``[((target, index), gradient), ...]``.
        keep_graph: keep saved arrays for another walk.
        create_graph: record the walk itself; gradients are tensors then, arrays otherwise.
        wanted: edges to capture; None captures nothing and reaches every leaf.
        accumulate: add to ``.grad`` (of the wanted leaves only, where ``wanted`` is given).

    Returns:
        dict: gradient by ``edge_key(edge)``, for the wanted edges that were reached.
    """
    walk = _Walk(create_graph, keep_graph)
    captured: dict = {}
    wanted_set = None if wanted is None else {edge_key(edge) for edge in wanted}
    useful: Any = None if wanted_set is None else _reachable([edge for edge, _ in roots], wanted_set)
    previous, state.grad = (state.grad, state.capturing), create_graph
    state.capturing = wanted is not None
    try:
        for edge, grad in roots:
            walk.give(edge, grad)
        heap, pending = walk.heap, walk.pending
        while heap:
            node = heapq.heappop(heap)[1]
            grads = pending.pop(node)
            if node.tensor_hooks is not None:
                for index, hooks in node.tensor_hooks.items():
                    if grads[index] is not None:
                        grads[index] = walk.hook(hooks, grads[index])
            if node.pre_hooks:
                grads = walk.hook_all(node.pre_hooks, grads)
            if node.retained is not None:
                for index, ref in node.retained.items():
                    tensor = ref()
                    if tensor is not None and grads[index] is not None:
                        tensor.grad = grads[index] if create_graph else Values.wrap(grads[index])
            if wanted_set is not None:
                for index, grad in enumerate(grads):
                    if grad is not None and (node, index) in wanted_set:
                        captured[node, index] = grad
                if node not in useful:
                    continue
            results = _step(walk, node, grads)
            for edge, grad in zip(node.edges, results):
                if edge is not None and grad is not None:
                    walk.give(edge, grad)
        for leaf, grad in walk.leaves.values():
            hooks = leaf._hooks
            if hooks:
                grad = walk.hook(hooks, grad)
            if wanted_set is not None:
                if id(leaf) not in wanted_set:
                    continue
                captured[id(leaf)] = grad
            if accumulate:
                Values.accumulate(leaf, grad, create_graph)
    finally:
        state.grad, state.capturing = previous
    return captured


def _step(walk: _Walk, node: Node, grads: list) -> list:
    try:
        results = node.run(grads, walk.create_graph)
    except Exception as error:
        if node.made_at is not None:
            error.add_note(f"The forward call that made {node.name()} was:\n{node.made_at}")
        raise
    if state.anomaly and state.anomaly_check_nan:
        for index, grad in enumerate(results):
            if grad is not None and Values.has_nan(grad):
                error = RuntimeError(f"Function '{node.name()}' returned nan values in its {index}th output.")
                if node.made_at is not None:
                    error.add_note(f"The forward call that made {node.name()} was:\n{node.made_at}")
                raise error
    if node.post_hooks:
        results = walk.hook_all(node.post_hooks, results, grads)
    if not walk.keep_graph:
        node.release()
    return results
