"""Owns ``SGD``: gradient descent with momentum.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ._fused import FusedOptimizer, zeros_beside
from .optimizer import check_at_least, check_fused, check_lr


class SGD(FusedOptimizer):
    """Gradient descent: ``b = momentum * b + (1 - dampening) * g``, then ``p = p - lr * b`` (or g, without momentum).

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        momentum: how much of the previous steps to keep; the first step keeps the whole gradient.
        dampening: how much of the gradient to leave out of the momentum.
        weight_decay: add this times the parameter to the gradient.
        nesterov: look ahead by one momentum step.
        maximize: climb instead.
        foreach, fused: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a negative number, or ``nesterov`` without momentum.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.SGD([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "momentum", "dampening", "weight_decay")
    _optional = frozenset(("momentum", "dampening", "weight_decay"))
    _flags = ("nesterov", "maximize")
    _late = {"nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False}
    _lazy = True

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False, foreach=None,
        differentiable=False, fused=None,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid momentum value: {}", momentum, 0.0)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def _slots(self, group):
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _new_slot(self, name, p, group):
        if not self._preparing and not isinstance(p.grad._array(), Tracer):
            return None
        # A trace cannot tell the first step from the others; from a zero buffer the first step gives the gradient.
        # With dampening it does not: then a mark says that the buffer is new.
        return zeros_beside(p) if group["dampening"] == 0 else _fresh_beside(p)

    @staticmethod
    def _begin(h):
        return (), {"lr": h.lr, "decay": h.weight_decay, "momentum": h.momentum, "dampening": h.dampening}

    @staticmethod
    def _rule(c, h, p, g, *held):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        if not held:
            return p - c.lr * g
        if held[0] is None:
            buffer = jax.lax.stop_gradient(g)
        elif c.dampening is None:
            buffer = held[0] * c.momentum + g
        else:
            buffer = jnp.where(_is_fresh(held[0]), g, held[0] * c.momentum + (1 - c.dampening) * g)
        return p - c.lr * (g + c.momentum * buffer if h.nesterov else buffer), buffer


def _fresh_beside(p):
    """A buffer in which nothing has been summed: NaN with all bits set, which no calculation gives."""
    kind = np.dtype(p._array().dtype)
    real = np.dtype(f"float{4 * kind.itemsize}") if kind.kind == "c" else kind
    return zeros_beside(p, np.full(real.itemsize, 255, np.uint8).view(real)[0])


def _is_fresh(a):
    a = a.real if jnp.iscomplexobj(a) else a
    bits = jax.lax.bitcast_convert_type(a, jnp.dtype(f"uint{8 * a.dtype.itemsize}"))
    # The first 16: a buffer of 16 bits may have been widened.
    return bits >> (8 * a.dtype.itemsize - 16) == 0xFFFF


__all__ = ["SGD"]
