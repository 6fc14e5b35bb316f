"""Owns ``Adadelta``: steps scaled by the ratio of past updates to past gradients.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_lr


class Adadelta(FusedOptimizer):
    """Adadelta (Zeiler 2012): ``d = sqrt(u + eps) / sqrt(v + eps) * g``; ``p = p - lr * d``.

    ``v`` and ``u`` are running averages of the squares of ``g`` and ``d``.

    Args:
        params: what to optimize.
        lr: a factor of the update; a number or a tensor.
        rho: how slowly the averages forget.
        eps: added under the roots.
        weight_decay: add this times the parameter to the gradient.
        maximize: climb instead.
        foreach, capturable: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Adadelta([w], lr=0.5, rho=0.0, eps=1.0).step()
        >>> w.detach()
        tensor([0.6464, 0.6464])
    """

    _numbers = ("lr", "rho", "eps", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize",)
    _scalars = {"step": 0.0}
    _late = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False, maximize=False,
        differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("square_avg", "acc_delta")

    @staticmethod
    def _begin(h, step):
        return (step + 1,), {"lr": h.lr, "keep": h.rho, "take": 1 - h.rho, "eps": h.eps, "decay": h.weight_decay}

    @staticmethod
    def _rule(c, h, p, g, square, updates):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        square = square * c.keep + c.take * g * g
        delta = jnp.sqrt(updates + c.eps) / jnp.sqrt(square + c.eps) * g
        return p - c.lr * delta, square, updates * c.keep + c.take * delta * delta


__all__ = ["Adadelta"]
