"""Owns the operators of weight normalisation.

May import the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._op import Array, op


def _norm_except(v, pow, dim):
    """The norm over all dimensions but ``dim`` (over all for -1), broadcast against ``v``."""
    axes = None if dim == -1 else tuple(i for i in range(v.ndim) if i != dim)
    size = jnp.abs(v)
    if pow == 2:
        out = jnp.sqrt((size * size).sum(axes, keepdims=dim != -1))
    else:
        out = (size**pow).sum(axes, keepdims=dim != -1) ** (1 / pow)
    return out


@op(method=False)
def norm_except_dim(v: Array, pow=2, dim=0):
    """The norms of the slices of a tensor along ``dim``; -1 for the norm of the whole."""
    return _norm_except(v, pow, dim)


@op(method=False)
def _weight_norm(v: Array, g: Array, dim=0):
    """``v`` scaled so that its norms along ``dim`` are ``g`` (Salimans & Kingma 2016)."""
    return v * (g / _norm_except(v, 2, dim))


__all__ = ["_weight_norm", "norm_except_dim"]
