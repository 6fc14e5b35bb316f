"""Owns ``torch.autograd``: ``backward``, ``grad`` and the public names of the files beside it and of the modes.

May import the tensor cell, the tape and the operators.
"""

from __future__ import annotations

import warnings
from typing import Any

from jax.core import Tracer

from .._graph import engine
from .._graph.engine import Values
from .._graph.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
    state,
)
from .._graph.node import Node
from .._tensor.tensor import Tensor
from ..func import vmap
from ..ops import creation

_NO_GRAPH = "element 0 of tensors does not require grad and does not have a grad_fn"


def _as_tuple(value) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


_ones: dict = {}


def _one(tensor):
    """The gradient that a backward pass starts from, made once for each kind of scalar."""
    array = tensor._array()
    key = array.shape, array.dtype, tensor._storage.device
    if key not in _ones:
        _ones[key] = creation.ones_like(tensor)._array()
    return _ones[key]


def _roots(tensors, gradients, create_graph):
    """The starting edges, with a gradient for each.

    Raises:
        RuntimeError: no graph, no gradient for a non-scalar, or a gradient of another shape.
    """
    gradients = (None,) * len(tensors) if gradients is None else _as_tuple(gradients)
    if len(gradients) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    roots = []
    for i, (tensor, gradient) in enumerate(zip(tensors, gradients)):
        edge = tensor._edge()
        if edge is None:
            raise RuntimeError(_NO_GRAPH.replace("0", str(i), 1))
        if gradient is None:
            if tensor.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if tensor.is_complex():
                raise RuntimeError("grad can be implicitly created only for real scalar outputs but got complex")
            if not create_graph and not isinstance(tensor._array(), Tracer):
                roots.append((edge, _one(tensor)))
                continue
            gradient = creation.ones_like(tensor)
        elif not isinstance(gradient, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(gradient).__name__}")
        elif gradient._array().shape != tensor._array().shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {gradient.shape} and output[{i}] has a shape of "
                f"{tensor.shape}."
            )
        roots.append((edge, gradient if create_graph else gradient._array()))
    return roots


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None) -> None:
    """Add the gradients of ``tensors`` to the ``.grad`` of the leaves of their graph.

    Args:
        tensors: a tensor or several.
        grad_tensors: the gradient of each; None for scalars.
        retain_graph: keep the graph; default: as ``create_graph``.
        create_graph: make the gradients differentiable.
        inputs: accumulate into these only.

    Raises:
        RuntimeError: a tensor has no graph, or needs a gradient.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> torch.autograd.backward(x * x)
        >>> x.grad
        tensor(6.)
    """
    tensors = _as_tuple(tensors)
    keep = create_graph if retain_graph is None else retain_graph
    wanted = None
    chosen: tuple = ()
    if inputs is not None:
        chosen = _as_tuple(inputs)
        if not chosen:
            raise RuntimeError("'inputs' argument to backward cannot be empty")
        wanted = [_input_edge(t) for t in chosen]
    captured = engine.backward(
        _roots(tensors, grad_tensors, create_graph),
        keep_graph=keep,
        create_graph=create_graph,
        wanted=wanted,
        accumulate=True,
    )
    if wanted is not None:
        for tensor, edge in zip(chosen, wanted):
            if isinstance(edge[0], Node) and engine.edge_key(edge) in captured:
                Values.accumulate(tensor, captured[engine.edge_key(edge)], create_graph)


def _input_edge(tensor):
    edge = tensor._edge() if isinstance(tensor, Tensor) else None
    if edge is None:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"inputs must be Tensors, but got {type(tensor).__name__}")
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    return edge


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True, allow_unused=None,
    is_grads_batched=False, materialize_grads=False,
) -> Any:  # fmt: skip
    """The gradients of ``outputs`` with respect to ``inputs``, without touching ``.grad``.

    Args:
        outputs, inputs: tensors; ``inputs`` may also be a dictionary of them.
        grad_outputs: the gradient of each output; None for scalars.
        retain_graph: keep the graph; default: as ``create_graph``.
        create_graph: make the result differentiable, to any order.
        only_inputs: accepted; gradients never go anywhere else.
        allow_unused: give None for an input that was not used, instead of an error.
        is_grads_batched: ``grad_outputs`` have a first dimension for several gradients, and so has the result.
        materialize_grads: zeros instead of None for unused inputs.

    Returns:
        tuple: one gradient per input; a dictionary where ``inputs`` is one.

    Raises:
        RuntimeError: an input is unused, or requires no grad.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor(2.0, requires_grad=True)
        >>> (first,) = torch.autograd.grad(x**3, x, create_graph=True)
        >>> torch.autograd.grad(first, x)
        (tensor(12.),)
    """
    if type(inputs) is dict:
        found = grad(
            outputs, tuple(inputs.values()), grad_outputs, retain_graph, create_graph, only_inputs, allow_unused,
            is_grads_batched, materialize_grads,
        )  # fmt: skip
        return dict(zip(inputs, found, strict=True))
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    if is_grads_batched:
        return _batched(outputs, inputs, _as_tuple(grad_outputs), create_graph, allow_unused, materialize_grads)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    allow_unused = bool(materialize_grads) if allow_unused is None else allow_unused
    if state.dual is not None and not create_graph:
        # The gradients have tangents: they are computed with tensors, which then forget their history.
        found = grad(
            outputs, inputs, grad_outputs, bool(retain_graph), True, allow_unused=allow_unused,
            materialize_grads=materialize_grads,
        )  # fmt: skip
        return tuple([g if g is None else state.dual.settled(g) for g in found])
    edges = [_input_edge(t) for t in inputs]
    captured = engine.backward(
        _roots(outputs, grad_outputs, create_graph),
        keep_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        wanted=edges,
        accumulate=False,
    )
    results = []
    for tensor, edge in zip(inputs, edges):
        found = captured.get(engine.edge_key(edge))
        if found is None:
            if not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {len(results)} appears to not have been used in the graph. "
                    "Set allow_unused=True if this is the desired behavior."
                )
            results.append(creation.zeros_like(tensor) if materialize_grads else None)
        else:
            results.append(found if create_graph else Tensor._of(found, tensor.device))
    return tuple(results)


def _batched(outputs, inputs, grad_outputs, create_graph, allow_unused, materialize_grads) -> tuple:
    """``grad`` for a batch of gradients at once."""
    used: list = []

    def one(*given):
        found = grad(
            outputs, inputs, given, True, create_graph, allow_unused=allow_unused, materialize_grads=materialize_grads
        )
        used[:] = [g is not None for g in found]
        return tuple(g for g in found if g is not None)

    supply = iter(vmap(one)(*grad_outputs))
    return tuple(next(supply) if here else None for here in used)


Values.backward = staticmethod(backward)

# Last, because these are made of the two above.
from . import forward_ad, function, functional, graph  # noqa: E402
from .function import Function  # noqa: E402
from .gradcheck import gradcheck, gradgradcheck  # noqa: E402
from .variable import Variable  # noqa: E402

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "forward_ad", "function", "functional", "grad",
    "gradcheck", "gradgradcheck", "graph", "inference_mode", "no_grad", "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip
