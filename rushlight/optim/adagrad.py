"""Owns ``Adagrad``: steps scaled by the sum of all squared gradients.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer, zeros_beside
from .optimizer import check_at_least, check_fused, check_lr


class Adagrad(FusedOptimizer):
    """Adagrad (Duchi et al. 2011): ``s = s + g * g``; ``p = p - lr_t * g / (sqrt(s) + eps)``.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        lr_decay: ``lr_t = lr / (1 + (t - 1) * lr_decay)``.
        weight_decay: add this times the parameter to the gradient.
        initial_accumulator_value: where the sums start.
        eps: added to the denominator.
        maximize: climb instead.
        foreach, fused: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Adagrad([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "lr_decay", "eps", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize",)
    _scalars = {"step": 0.0}
    _late = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None, *,
        maximize=False, differentiable=False, fused=None,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid lr_decay value: {}", lr_decay, 0.0)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        check_at_least("Invalid initial_accumulator_value value: {}", initial_accumulator_value, 0.0)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p, group, self.state[p], ("step",), ("sum",))

    def _slots(self, group):
        return ("sum",)

    def _new_slot(self, name, p, group):
        start = self.defaults["initial_accumulator_value"]
        return zeros_beside(p, complex(start, start) if p.is_complex() else start)

    def share_memory(self) -> None:
        """Accepted; arrays are copied between processes."""

    @staticmethod
    def _begin(h, step):
        step = step + 1
        return (step,), {"lr": h.lr / (1 + (step - 1) * h.lr_decay), "eps": h.eps, "decay": h.weight_decay}

    @staticmethod
    def _rule(c, h, p, g, total):
        g = -g if h.maximize else g
        if c.decay is not None:
            g = g + c.decay * p
        total = total + g * g
        return p - c.lr * g / (jnp.sqrt(total) + c.eps), total


__all__ = ["Adagrad"]
