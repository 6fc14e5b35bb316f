"""Owns ``Rprop``: steps whose sizes follow the signs of the gradient alone.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._fused import FusedOptimizer, zeros_beside
from .optimizer import check_lr


class Rprop(FusedOptimizer):
    """Rprop (Riedmiller and Braun 1993): each element's step grows while its gradient keeps its sign, else shrinks.

    Args:
        params: what to optimize.
        lr: the first step size; a number or a tensor.
        etas: the factors for shrinking and growing.
        step_sizes: the smallest and the largest step.
        maximize: climb instead.
        foreach, capturable: accepted; all parameters are always updated by one compiled call.
        differentiable: let gradients flow through the step.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Rprop([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("etas", "step_sizes")
    _flags = ("maximize",)
    _scalars = {"step": 0.0}
    _late = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
        maximize=False, differentiable=False,
    ):  # fmt: skip
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("prev", "step_size")

    def _new_slot(self, name, p, group):
        if name == "prev":
            return zeros_beside(p)
        size = float(group["lr"])
        return zeros_beside(p, complex(size, size) if p.is_complex() else size)

    @staticmethod
    def _begin(h, step):
        return (step + 1,), {
            "shrink": h.etas[0], "grow": h.etas[1], "smallest": h.step_sizes[0], "largest": h.step_sizes[1],
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, before, size):
        g = -g if h.maximize else g
        agree = g * before
        size = size * jnp.where(agree > 0, c.grow, jnp.where(agree < 0, c.shrink, jnp.ones_like(agree)))
        size = jnp.clip(size, c.smallest, c.largest)
        g = jnp.where(agree < 0, jnp.zeros_like(g), g)
        return p - jnp.sign(g) * size, g, size


__all__ = ["Rprop"]
