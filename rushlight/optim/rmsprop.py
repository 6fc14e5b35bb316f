"""Owns ``RMSprop``: steps scaled by a running average of the squared gradient.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_lr


class RMSprop(FusedOptimizer):
    """RMSprop (Hinton's lecture 6): ``v = alpha * v + (1 - alpha) * g * g``; ``p = p - lr * g / (sqrt(v) + eps)``.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        alpha: how slowly the average forgets.
        eps: added to the denominator.
        weight_decay: add this times the parameter to the gradient.
        momentum: how much of the previous steps to keep.
        centered: divide by the deviation: subtract the square of the average gradient from ``v``.
        maximize: climb instead.
        foreach, capturable: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.RMSprop([w], lr=0.25, alpha=0.75).step()
        >>> w.detach()
        tensor([0.5000, 0.5000])
    """

    _numbers = ("lr", "alpha", "eps", "weight_decay", "momentum")
    _optional = frozenset(("weight_decay", "momentum"))
    _flags = ("centered", "maximize")
    _scalars = {"step": 0.0}
    _late = {
        "momentum": 0, "centered": False, "foreach": None, "maximize": False, "differentiable": False,
        "capturable": False,
    }  # fmt: skip

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, capturable=False,
        foreach=None, maximize=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_at_least("Invalid momentum value: {}", momentum, 0.0)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        check_at_least("Invalid alpha value: {}", alpha, 0.0)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return (
            "square_avg",
            *(("momentum_buffer",) if group["momentum"] > 0 else ()),
            *(("grad_avg",) if group["centered"] else ()),
        )

    @staticmethod
    def _begin(h, step):
        return (step + 1,), {
            "lr": h.lr, "keep": h.alpha, "take": 1 - h.alpha, "eps": h.eps, "decay": h.weight_decay,
            "momentum": h.momentum,
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, square, *rest):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        square = square * c.keep + c.take * g * g
        if h.centered:
            mean = rest[-1] + c.take * (g - rest[-1])
            means, scale = (mean,), jnp.sqrt(square - mean * mean) + c.eps
        else:
            means, scale = (), jnp.sqrt(square) + c.eps
        if c.momentum is None:
            return p - c.lr * g / scale, square, *means
        buffer = rest[0] * c.momentum + g / scale
        return p - c.lr * buffer, square, buffer, *means


__all__ = ["RMSprop"]
