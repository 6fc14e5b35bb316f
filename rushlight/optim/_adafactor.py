"""Owns ``Adafactor``: scaling by a squared gradient that is stored as one row and one column.

May import this folder's bases and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tensor.tensor import Tensor
from ._fused import FusedOptimizer, zeros_beside
from .optimizer import check_at_least, check_lr


class Adafactor(FusedOptimizer):
    """Adafactor (Shazeer and Stern 2018): steps relative to the size of the parameter, with little state.

    Args:
        params: what to optimize; real numbers only.
        lr: the largest relative step; a number or a tensor.
        beta2_decay: the average forgets with weight ``t ** beta2_decay``.
        eps: the smallest squared gradient's root (None: the dtype's precision), and the smallest parameter size.
        d: clip updates whose root mean square is larger.
        weight_decay: how fast parameters shrink.
        foreach: accepted; all parameters are always updated by one compiled call.
        maximize: climb instead.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Adafactor([w], lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    _numbers = ("lr", "beta2_decay", "eps", "d", "weight_decay")
    _optional = frozenset(("weight_decay",))
    _flags = ("maximize",)
    _scalars = {"step": 0.0}
    _late = {"foreach": None}
    _lazy = True

    def __init__(
        self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
        maximize=False,
    ):  # fmt: skip
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None:
            check_at_least("epsilon1 should be >= 0 but is: {}", eps[0], 0.0)
        check_at_least("epsilon2 should be >= 0 but is: {}", eps[1], 0.0)
        check_at_least("Clipping threshold d should be >= 1 but is: {}", d, 1.0)
        check_at_least("weight_decay should be >= 0 but is: {}", weight_decay, 0.0)
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, p, group):
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")

    def _slots(self, group):
        return ("row_var", "col_var", "variance")

    def _new_slot(self, name, p, group):
        if p.dim() < 2:
            return zeros_beside(p) if name == "variance" else None
        if name == "variance":
            return None
        keep = [slice(None)] * p.dim()
        keep[-1 if name == "row_var" else -2] = slice(0, 1)
        whole = zeros_beside(p)
        array = whole._array()
        shape = array.shape[:-1] + (1,) if name == "row_var" else (*array.shape[:-2], 1, array.shape[-1])
        if isinstance(array, jax.ShapeDtypeStruct):
            return Tensor._of(jax.ShapeDtypeStruct(shape, array.dtype), p.device)
        return Tensor._of(array[tuple(keep)], p.device)

    @staticmethod
    def _begin(h, step):
        step = step + 1
        return (step,), {
            "take": step**h.beta2_decay, "relative": jnp.minimum(h.lr, 1 / jnp.sqrt(step)), "eps1": h.eps[0],
            "eps2": h.eps[1], "d": h.d, "shrink": None if h.weight_decay is None else 1 - h.lr * h.weight_decay,
        }  # fmt: skip

    @staticmethod
    def _rule(c, h, p, g, row, column, variance):
        g = -g if h.maximize else g
        eps = jnp.finfo(c.dtype).eps if c.eps1 is None else c.eps1
        size = jnp.maximum(c.eps2, _rms(p)) * c.relative
        if c.shrink is not None:
            p = p * c.shrink
        if g.ndim > 1:
            row = row + c.take * (jnp.mean(g * g, -1, keepdims=True) - row)
            column = column + c.take * (jnp.mean(g * g, -2, keepdims=True) - column)
            estimate = row * column / jnp.maximum(jnp.mean(row, -2, keepdims=True), eps)
        else:
            estimate = variance = variance + c.take * (g * g - variance)
        update = jax.lax.rsqrt(jnp.maximum(estimate, eps * eps)) * g
        return p - size / jnp.maximum(1.0, _rms(update) / c.d) * update, row, column, variance


def _rms(a):
    return jnp.sqrt(jnp.sum(a * a)) / a.size**0.5


Adafactor.__module__ = "rushlight.optim"
__all__ = ["Adafactor"]
