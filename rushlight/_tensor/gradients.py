"""Owns what the reverse walk does with gradients: wrapping, adding, storing them in leaves; and how tensors print.

May import the tensor class and the tape.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .. import _device as devices
from .._graph.engine import Values
from .._graph.modes import state
from . import printing
from .tensor import Tensor

_add_arrays = jax.jit(lambda a, b: a + b, inline=True)


def _add(a, b):
    return a + b if isinstance(a, Tensor) else _add_arrays(a, b)


def _wrap(grad):
    traced = isinstance(grad, Tracer)
    return Tensor._of(grad, None if traced else devices.of_jax(next(iter(grad.devices()))))


def _accumulate(leaf: Tensor, grad, create_graph: bool) -> None:
    held = leaf.grad
    if create_graph:
        leaf._grad = grad if held is None else held + grad
    elif held is None:
        leaf._grad = Tensor._of(grad, leaf._storage.device)
    else:
        held._write(_add_arrays(held._array(), grad))
    if leaf._post_hooks:
        for hook in tuple(leaf._post_hooks.values()):
            if hook(leaf) is not None:
                raise RuntimeError("Tensor post accumulate grad hooks should return None.")


def _has_nan(grad) -> bool:
    array = grad._array() if isinstance(grad, Tensor) else grad
    return bool(jnp.isnan(array).any()) if jnp.issubdtype(array.dtype, jnp.inexact) else False


class _Saved(Tensor):
    """A saved input whose gradient goes to the leaf that it was read from."""

    def _edge(self):
        return self.__dict__["_leaf_edge"]


def _saved_for(array, edge):
    """A tensor for a saved input, tied to where that input came from; plain numbers stay as they are."""
    if edge is None and not isinstance(array, jax.Array):
        return array
    if edge is not None and edge[1] is None:
        out = _Saved._of(array, edge[0]._storage.device, True)
        out.__dict__["_leaf_edge"] = edge
        return out
    out = _wrap(array)
    if edge is not None:
        out._requires_grad = True
        out._node, out._index = edge
    return out


def _render(tensor: Tensor) -> str:
    node = tensor.grad_fn
    tangent = None if state.dual is None else state.dual.get(tensor)
    kind = type(tensor)
    text = printing.tensor_repr(
        None if tensor.is_meta else tensor._array(),
        tensor.dtype,
        is_meta=tensor.is_meta,
        shape=tensor.shape,
        device=str(tensor.device),
        requires_grad=tensor.requires_grad,
        grad_fn=None if node is None else node.name(),
        tangent=None if tangent is None else f"{tangent}",
        prefix="tensor(" if kind.__module__.startswith("rushlight.") else f"{kind.__name__}(",
    )
    return f"Parameter({text})" if tensor.__dict__.get("_is_param") else text


Values.render = staticmethod(_render)
Values.wrap = staticmethod(_wrap)
Values.unwrap = staticmethod(lambda tensor: tensor._array())
Values.add = staticmethod(_add)
Values.accumulate = staticmethod(_accumulate)
Values.has_nan = staticmethod(_has_nan)
Values.saved = staticmethod(_saved_for)
