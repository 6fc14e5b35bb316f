"""Owns what the transforms share: fresh inputs, gradients by the tape's reverse walk, and leaving a transform.

May import the tensor cell, the tape and the operators. A transform runs the function on fresh tensors with grad mode
on, and walks back; the walk is taped itself only where somebody outside may want to differentiate it.
"""

from __future__ import annotations

from typing import Any

from .._graph import engine
from .._graph.modes import state
from .._tensor.program import Program
from .._tensor.tensor import Tensor
from ..ops._execute import execute
from ..ops.creation import ones_like, zeros_like
from ._tree import flatten, unflatten

_pass_on = Program(lambda x: x, "func_input")


def fresh(x: Any) -> Tensor:
    """A tensor to differentiate with respect to, connected to ``x`` where that has a history.

    Raises:
        ValueError: not a tensor.
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    if state.grad and x._edge() is not None:
        return execute(_pass_on, (x,))
    return Tensor._of(x._array(), x.device).requires_grad_()


def seen_from_outside(tensors: Any, inner: list[Tensor]) -> bool:
    """Whether something else than the fresh inputs takes part in how these tensors came about."""
    own = {id(x) for x in inner if x._node is None}
    if any(x._node is not None for x in inner):
        return True
    edges = [t._edge() for t in tensors if isinstance(t, Tensor)]
    return any(id(leaf) not in own and not leaf.__dict__.get("_closed") for leaf, _ in engine.leaf_edges(edges))


def close(inner: list[Tensor]) -> None:
    """Note that a transform is done with its fresh inputs: for those around it they are no reason to keep a graph."""
    for x in inner:
        if x._node is None:
            x.__dict__["_closed"] = True


def left(value: Any, outside: bool) -> Any:
    """What a function gave, as it looks from outside of the transform.

    Raises:
        RuntimeError: something else than tensors.
    """
    leaves, spec = flatten(value)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return unflatten([leaf if outside else leaf.detach() for leaf in leaves], spec)


def walk(outputs: list[Tensor], inputs: list[Tensor], cotangents: Any, keep: bool, taped: bool) -> list:
    """Gradients of outputs with respect to inputs; None where there is none.

    Args:
        cotangents: one for each output; None for ones.
        keep: the graph is needed again.
        taped: make the gradients differentiable.
    """
    roots = []
    for i, out in enumerate(outputs):
        edge = out._edge()
        if edge is None:
            continue
        if cotangents is None and out.is_complex():
            raise RuntimeError("grad can be implicitly created only for real scalar outputs but got complex")
        cotangent = ones_like(out) if cotangents is None else cotangents[i]
        if cotangents is not None:
            cotangent = _fitting(cotangent, out, i)
        roots.append((edge, cotangent if taped else cotangent._array()))
    if not roots:
        return [None] * len(inputs)
    edges = [x._edge() for x in inputs]
    found = engine.backward(roots, keep_graph=keep, create_graph=taped, wanted=edges, accumulate=False)
    out = [found.get(engine.edge_key(edge)) for edge in edges]
    if taped:
        return out
    return [None if g is None else Tensor._of(g, x.device) for g, x in zip(out, inputs)]


def _fitting(cotangent: Any, out: Tensor, index: int) -> Tensor:
    if not isinstance(cotangent, Tensor):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(cotangent).__name__}")
    if cotangent.shape != out.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{index}] has a shape of {cotangent.shape} and output[{index}] has a shape "
            f"of {out.shape}."
        )
    return cotangent


def filled(found: list, inputs: list[Tensor]) -> list[Tensor]:
    """Zeros where there is no gradient."""
    return [zeros_like(x.detach()) if g is None else g for g, x in zip(found, inputs)]


def any_history(tensors: Any) -> bool:
    """Whether one of these tensors requires a gradient."""
    return any(isinstance(t, Tensor) and t._edge() is not None for t in tensors)
