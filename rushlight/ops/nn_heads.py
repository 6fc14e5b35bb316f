"""Owns what multi-head attention does around its products: splitting into heads, attending with weights, merging.

May import the door, nn_attention, nn_linear and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._op import Array, Number, op
from .nn_linear import contract


def _project(x, weight, bias):
    out = contract(x, weight, ((x.ndim - 1,), (1,)))
    return out if bias is None else out + bias


@op(name="in_projection", method=False)
def project(x: Array, weight: Array, bias: Array | None, parts, heads):
    """One product for several projections, each split into heads.

    Shape:
        x ``(L, N, in)``, weight ``(parts * E, in)``; each result ``(N, heads, L, E / heads)``.
    """
    out = _project(x, weight, bias)
    length, batch, features = out.shape
    out = out.reshape(length, batch, parts, heads, features // (parts * heads)).transpose(2, 1, 3, 0, 4)
    return tuple(out) if parts > 1 else out[0]


@op(name="split_heads", method=False)
def split(x: Array, heads):
    """``(L, N, E)`` as ``(N, heads, L, E / heads)``."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2, 0, 3)


@op(name="merge_heads", method=False)
def merge(x: Array):
    """``(N, heads, L, D)`` as ``(L, N, heads * D)``."""
    batch, heads, length, size = x.shape
    return x.transpose(2, 0, 1, 3).reshape(length, batch, heads * size)


@op(name="attend", method=False)
def attend(q: Array, k: Array, v: Array, mask: Array | None, noise: Array | None, keep: Number):
    """Attention that gives its weights too: ``(softmax(q @ k.T / sqrt(D) + mask) @ v, weights)``.

    A row in which everything is masked gives NaN, as in torch.
    """
    scores = jnp.einsum("nhld,nhsd->nhls", q * jnp.asarray(q.shape[-1] ** -0.5, q.dtype), k)
    if mask is not None:
        scores = scores + mask
    weights = jax.nn.softmax(scores, -1)
    if noise is not None:
        weights = weights * (noise / keep).astype(weights.dtype)
    return jnp.einsum("nhls,nhsd->nhld", weights, v), weights


__all__: list[str] = []
