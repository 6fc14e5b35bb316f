"""Owns ``Adamax``: Adam with the largest recent gradient in place of the average square.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_betas, check_lr


class Adamax(FusedOptimizer):
    """Adamax (Kingma and Ba 2014): ``u = max(beta2 * u, |g| + eps)``; ``p = p - lr * m_hat / u``.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        betas: how slowly the average gradient and the largest one are forgotten.
        eps: added to the size of the gradient.
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
        >>> torch.optim.Adamax([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "betas", "eps", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize",)
    _scalars = {"step": 0.0}
    _late = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_betas(betas)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_inf")

    @staticmethod
    def _begin(h, step):
        step = step + 1
        beta1, beta2 = h.betas
        size = h.lr / (1 - beta1**step)
        return (step,), {"size": size, "take1": 1 - beta1, "keep2": beta2, "eps": h.eps, "decay": h.weight_decay}

    @staticmethod
    def _rule(c, h, p, g, mean, largest):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        mean = mean + c.take1 * (g - mean)
        largest = jnp.maximum(largest * c.keep2, jnp.abs(g) + c.eps)
        return p - c.size * mean / largest, mean, largest


__all__ = ["Adamax"]
