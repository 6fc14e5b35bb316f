"""Owns distances and directions: normalising, cosine similarity, pairwise distances, and the losses made of them.

May import the door, nn_common, nn_loss and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._execute import write_out
from ._op import Array, Number, op
from .nn_common import widen
from .nn_loss import reduce_loss, reduction_of
from .shape import wrap_dim


def norm(x, p, axis, keepdims=False):
    """The p-norm along an axis, with derivative 0 where it is 0, as torch has it."""
    magnitude = jnp.abs(x)
    if p == 0:
        return (x != 0).sum(axis, keepdims=keepdims).astype(magnitude.dtype)
    if p == 1:
        return magnitude.sum(axis, keepdims=keepdims)
    if p == float("inf"):
        return magnitude.max(axis, keepdims=keepdims)
    if p == -float("inf"):
        return magnitude.min(axis, keepdims=keepdims)
    if p != 2:
        powers = magnitude**p
    else:
        powers = x.real * x.real + x.imag * x.imag if jnp.iscomplexobj(x) else x * x
    total = powers.sum(axis, keepdims=keepdims)
    zero = total == 0
    safe = jnp.where(zero, 1, total)
    return jnp.where(zero, 0, jnp.sqrt(safe) if p == 2 else safe ** (1 / p))


@op(name="normalize", method=False)
def _normalize(input: Array, p, dim, eps):
    x = widen(input)
    return (x / jnp.maximum(norm(x, p, dim, True), eps)).astype(input.dtype)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """Divide by the p-norm along a dimension (by ``eps`` where that is smaller)."""
    dims = tuple(wrap_dim(d, input.dim()) for d in ((dim,) if isinstance(dim, int) else dim))
    given = input if input.dim() else input.reshape(1)
    result = _normalize(given, p, dims[0] if len(dims) == 1 else dims, eps)
    result = result if given is input else result.reshape(())
    return result if out is None else write_out("normalize", result, out)


def _cosine(a, b, axis, eps):
    # torch clamps the norms outside of autograd, so the derivative is that of the unclamped ones.
    def unit(x):
        length = norm(x, 2, axis, True)
        return x / (length + lax.stop_gradient(jnp.maximum(length, eps) - length))

    return (unit(a) * unit(b)).sum(axis)


@op(name="cosine_similarity", method=False, promote="float")
def _cosine_similarity(x1: Array, x2: Array, dim, eps):
    x1, x2 = jnp.broadcast_arrays(x1, x2)
    return _cosine(x1, x2, dim, eps)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle between vectors along a dimension."""
    return _cosine_similarity(x1, x2, wrap_dim(dim, max(x1.dim(), x2.dim())), eps)


def _distance(a, b, p, eps, keepdim=False):
    return norm(a - b + eps, p, -1, keepdim)


@op(name="pairwise_distance", method=False, promote="float")
def pairwise_distance(x1: Array, x2: Array, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""
    return _distance(x1, x2, p, eps, keepdim)


@op(method=False)
def pdist(input: Array, p=2.0):
    """The distances between all pairs of rows, the upper triangle in one dimension."""
    first, second = np.triu_indices(input.shape[0], 1)
    return norm(input[first] - input[second], p, -1)


@op(name="cosine_embedding_loss", method=False, promote="float")
def _cosine_embedding(input1: Array, input2: Array, target: Array, margin: Number, reduction):
    eps = 1e-12
    axis = input1.ndim - 1
    product = (input1 * input2).sum(axis)
    square1, square2 = (input1 * input1).sum(axis) + eps, (input2 * input2).sum(axis) + eps
    cosine = product / jnp.sqrt(square1 * square2)
    apart = jnp.where(cosine - margin > 0, cosine - margin, 0)
    return reduce_loss(jnp.where(target == 1, 1 - cosine, 0) + jnp.where(target == -1, apart, 0), reduction)


def cosine_embedding_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """``1 - cos`` for pairs with target 1, ``max(0, cos - margin)`` for those with -1.

    Raises:
        RuntimeError: the dimensions do not fit.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    expected = target.dim() + 1
    if input1.dim() != expected or input2.dim() != expected:
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {expected}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    return _cosine_embedding(input1, input2, target, margin, reduction)


@op(name="triplet_margin_loss", method=False, promote="float")
def _triplet(anchor: Array, positive: Array, negative: Array, margin: Number, p, eps, swap, reduction):
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    if swap:
        far = jnp.minimum(far, _distance(positive, negative, p, eps))
    loss = near - far + jnp.real(margin)
    return reduce_loss(jnp.where(loss < 0, 0, loss), reduction)


def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p: float = 2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Raises:
        ValueError: the margin is not positive.
        RuntimeError: the tensors have different numbers of dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    dims = anchor.dim(), positive.dim(), negative.dim()
    if len(set(dims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D inputs"
        )
    return _triplet(anchor, positive, negative, margin, p, eps, bool(swap), reduction)


__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "pairwise_distance", "pdist", "triplet_margin_loss",
]  # fmt: skip
