"""Owns the step of the tape that a call of a compiled function is.

May import the tape and numpy.
"""

from __future__ import annotations

import numpy as np

from .._graph.node import Node

_FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
    "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
    "saved tensors after calling backward."
)


class CompiledNode(Node):
    """The step of the tape that a compiled function is: its backward is one program too."""

    __slots__ = ("entry", "saved")

    def __init__(self, entry, saved, edges, outputs):
        Node.__init__(self, edges, outputs)
        self.entry, self.saved = entry, saved

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def run(self, grads, create_graph):
        if create_graph:
            raise RuntimeError(
                "torch.compile does not support double backward: this function was compiled and its backward is one "
                "program. Compute the higher derivative inside the compiled function, or call it uncompiled."
            )
        if self.saved is None:
            raise RuntimeError(_FREED)
        given = []
        for n, shape, dtype in self.entry.present:
            grad = grads[n]
            given.append(np.zeros(shape, dtype) if grad is None else grad)
        return self.entry.backward(self.saved, given)

    def release(self) -> None:
        self.saved = None


def freed(edge) -> bool:
    """Whether a backward pass from here would meet a step that was walked before."""
    stack, seen = [edge[0]], set()
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node not in seen:
            if node.freed:
                return True
            seen.add(node)
            stack += [edge[0] for edge in node.edges if edge is not None]
    return False
