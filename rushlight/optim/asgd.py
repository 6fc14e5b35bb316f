"""Owns ``ASGD``: gradient descent that also keeps the average of the parameters.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_lr


class ASGD(FusedOptimizer):
    """Averaged gradient descent (Polyak and Juditsky 1992); the average is ``state[p]["ax"]``.

    Args:
        params: what to optimize.
        lr: the first step size; a number or a tensor.
        lambd: how fast parameters shrink, and the step size falls.
        alpha: the power with which the step size falls.
        t0: the step from which to average.
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
        >>> torch.optim.ASGD([w], lr=0.25, lambd=0).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "lambd", "alpha", "t0", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize",)
    _scalars = {"step": 0.0, "eta": None, "mu": 1.0}
    _late = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("ax",)

    def _new_scalar(self, name, group):
        return float(group["lr"]) if name == "eta" else self._scalars[name]

    @staticmethod
    def _begin(h, step, eta, mu):
        step = step + 1
        new_eta = h.lr / (1 + h.lambd * h.lr * step) ** h.alpha
        new_mu = 1 / jnp.maximum(step - h.t0, 1.0)
        return (step, new_eta, new_mu), {"shrink": 1 - h.lambd * eta, "eta": eta, "mu": mu, "decay": h.weight_decay}

    @staticmethod
    def _rule(c, h, p, g, average):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        p = p * c.shrink - c.eta * g
        return p, jnp.where(c.mu == 1, p, average + (p - average) * c.mu)


__all__ = ["ASGD"]
