"""Owns ``Muon``: momentum made orthogonal, for matrices.

May import this folder's bases and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from ._fused import FusedOptimizer
from .optimizer import check_at_least, check_lr


class Muon(FusedOptimizer):
    """Muon (Jordan et al. 2024): steps along the orthogonal matrix nearest to the momentum, by Newton-Schulz steps.

    Args:
        params: matrices; optimize the other parameters with AdamW.
        lr: the step size; a number or a tensor.
        weight_decay: how fast parameters shrink.
        momentum: how slowly the average gradient forgets.
        nesterov: look ahead by one momentum step.
        ns_coefficients: the coefficients of the quintic iteration.
        eps: the smallest norm to divide by.
        ns_steps: how often to iterate.
        adjust_lr_fn: ``"original"`` (also None) or ``"match_rms_adamw"``: how the step size follows the shape.

    Raises:
        ValueError: a number out of range, or a parameter that is no matrix.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, 2, requires_grad=True)
        >>> w.grad = torch.zeros(2, 2)
        >>> torch.optim.Muon([w], lr=0.5, weight_decay=0.5).step()
        >>> w.detach()
        tensor([[0.7500, 0.7500],
                [0.7500, 0.7500]])
    """

    _numbers = ("lr", "weight_decay", "momentum", "ns_coefficients", "eps")
    _flags = ("nesterov", "ns_steps", "adjust_lr_fn")

    def __init__(
        self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
        ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None,
    ):  # fmt: skip
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        check_at_least("momentum should be >= 0 but is: {}", momentum, 0.0)
        check_at_least("weight decay should be >= 0 but is: {}", weight_decay, 0.0)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                    )

    def _check(self, p, group):
        if p.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        if p.dim() != 2:
            raise ValueError("Param gradient must be a 2D matrix")
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")

    def _slots(self, group):
        return ("momentum_buffer",)

    @staticmethod
    def _begin(h):
        a, b, c = h.ns_coefficients
        return (), {
            "lr": h.lr, "shrink": 1 - h.lr * h.weight_decay, "momentum": h.momentum, "eps": h.eps, "a": a, "b": b,
            "c": c,
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, buffer):
        buffer = _between(buffer, g, 1 - c.momentum)
        update = _orthogonal(_between(g, buffer, c.momentum) if h.nesterov else buffer, c, h.ns_steps)
        rows, columns = p.shape
        if h.adjust_lr_fn == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1, rows / columns))
        return p * c.shrink - c.lr * ratio * update.astype(p.dtype), buffer


def _between(start, end, share):
    """Interpolate from the nearer end, so that both ends are met exactly."""
    step = end - start
    return jnp.where(share < 0.5, start + share * step, end - step * (1 - share))


def _orthogonal(g, c, steps):
    """Push the singular values towards one; in bfloat16, in which the iteration is known to be stable."""
    half, single = jnp.bfloat16, jnp.float32

    def rounded(a):
        # A conversion there and back would be dropped by XLA, and with it the rounding that torch does.
        return jax.lax.reduce_precision(a.astype(single), 8, 7).astype(half)

    def product(a, b):
        return jnp.matmul(a, b, preferred_element_type=single)

    tall = g.shape[0] > g.shape[1]
    x = rounded(g.T if tall else g)
    norm = rounded(jnp.sqrt(jnp.sum(x.astype(single) ** 2)))
    x = rounded(x.astype(single) / jnp.maximum(norm, c.eps.astype(half)).astype(single))
    for _ in range(steps):
        gram = rounded(product(x, x.T))
        poly = rounded(c.b * gram.astype(single) + c.c * product(gram, gram))
        x = rounded(c.a * x.astype(single) + product(poly, x))
    return x.T if tall else x


Muon.__module__ = "rushlight.optim"
__all__ = ["Muon"]
