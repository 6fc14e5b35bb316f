"""Owns ``RAdam``: Adam that waits with scaling until the average square can be trusted.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_betas, check_lr


class RAdam(FusedOptimizer):
    """RAdam (Liu et al. 2019): ``p = p - lr * m_hat * r / sqrt(v_hat)``, without the scaling in the first steps.

    Args:
        params: what to optimize.
        lr: the step size; a number or a tensor.
        betas: how slowly the averages of the gradient and of its square forget.
        eps: added to the denominator.
        weight_decay: add this times the parameter to the gradient.
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
        >>> torch.optim.RAdam([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "betas", "eps", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize", "decoupled_weight_decay")
    _scalars = {"step": 0.0}
    _late = {
        "foreach": None, "maximize": False, "differentiable": False, "decoupled_weight_decay": False,
        "capturable": False,
    }  # fmt: skip

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
        foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        check_at_least("Invalid epsilon value: {}", eps, 0.0)
        check_betas(betas)
        check_at_least("Invalid weight_decay value: {}", weight_decay, 0.0)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    @staticmethod
    def _begin(h, step):
        step = step + 1
        beta1, beta2 = h.betas
        correct = 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / correct
        ready = length > 5
        safe = jnp.where(ready, length, 6.0)
        rectify = jnp.sqrt((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe))
        return (step,), {
            "size": h.lr / (1 - beta1**step), "ready": ready, "rectify": rectify * jnp.sqrt(correct),
            "take1": 1 - beta1, "keep2": beta2, "take2": 1 - beta2, "eps": h.eps, "decay": h.weight_decay,
            "shrink": None if h.weight_decay is None else 1 - h.lr * h.weight_decay,
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
        scale = jnp.where(c.ready > 0, c.rectify / (jnp.sqrt(square) + c.eps), jnp.ones_like(square))
        return p - c.size * mean * scale, mean, square


__all__ = ["RAdam"]
