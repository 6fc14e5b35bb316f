"""Owns ``NAdam``: Adam with Nesterov's look ahead.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_betas, check_lr


class NAdam(FusedOptimizer):
    """NAdam (Dozat 2016): Adam whose step mixes the gradient with the average that the next step will use.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        betas: how slowly the averages of the gradient and of its square forget.
        eps: added to the denominator.
        weight_decay: add this times the parameter to the gradient.
        momentum_decay: how fast the momentum grows towards its full value.
        decoupled_weight_decay: shrink the parameter instead of changing the gradient.
        maximize: climb instead.
        foreach, capturable: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.NAdam([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7359, 0.7359])
    """

    _numbers = ("lr", "betas", "eps", "weight_decay", "momentum_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize", "decoupled_weight_decay")
    _scalars = {"step": 0.0, "mu_product": 1.0}
    _late = {
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False,
    }  # fmt: skip

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
        decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_betas(betas)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        check_at_least("Invalid momentum_decay value: {}", momentum_decay, 0.0)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    @staticmethod
    def _begin(h, step, product):
        step = step + 1
        beta1, beta2 = h.betas
        here = beta1 * (1 - 0.5 * 0.96 ** (step * h.momentum_decay))
        ahead = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * h.momentum_decay))
        # The product is kept in 32 bits, and torch goes on with the rounded one.
        product = (product * here).astype(np.float32).astype(np.float64)
        return (step, product), {
            "from_grad": h.lr * (1 - here) / (1 - product), "from_mean": h.lr * ahead / (1 - product * ahead),
            "correct": 1 - beta2**step, "take1": 1 - beta1, "keep2": beta2, "take2": 1 - beta2, "eps": h.eps,
            "decay": h.weight_decay, "shrink": None if h.weight_decay is None else 1 - h.lr * h.weight_decay,
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, mean, square):
        g = -g if h.maximize else g
        if c.decay is not None:
            if h.decoupled_weight_decay:
                p = p * c.shrink
            else:
                g = g + c.decay * p
        mean = mean + c.take1 * (g - mean)
        square = square * c.keep2 + c.take2 * g * g
        scale = jnp.sqrt(square / c.correct) + c.eps
        return p - c.from_grad * g / scale - c.from_mean * mean / scale, mean, square


__all__ = ["NAdam"]
