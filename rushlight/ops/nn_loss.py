"""Owns the losses that compare a prediction with a target of its own shape.

May import the door, nn_common and jax.
"""

from __future__ import annotations

import math
import warnings

import jax
import jax.numpy as jnp

from .. import dtypes
from .._graph.modes import state
from ._execute import scalar_name
from ._op import Array, Number, op
from .nn_common import concrete, dtype_of, need_float, widen
from .unary import absolute_of


def reduce_loss(losses, reduction):
    """The mean, the sum, or the losses themselves."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def legacy_reduction(size_average, reduce, stacklevel=3):
    """The reduction that the two older options mean; warns."""
    average = True if size_average is None else size_average
    reduction = ("mean" if average else "sum") if reduce is None or reduce else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
        stacklevel=stacklevel,
    )
    return reduction


def reduction_of(size_average, reduce, reduction):
    """The reduction, also from the two older options.

    Raises:
        ValueError: torch has no such reduction.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, 4)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _same_size(input, target):
    given, expected = target._array().shape, input._array().shape
    if given != expected:
        warnings.warn(
            f"Using a target size ({dtypes.Size(given)!r}) that is different to the input size "
            f"({dtypes.Size(expected)!r}). This will likely lead to incorrect results due to broadcasting. Please "
            "ensure they have the same size.",
            stacklevel=3,
        )


def _broadcast(a, b):
    for i, (n, m) in enumerate(zip(reversed(a.shape), reversed(b.shape)), 1):
        if n != m and 1 not in (n, m):
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension "
                f"{max(a.ndim, b.ndim) - i}"
            )


@op(name="mse_loss", method=False, promote="common")
def _mse(input: Array, target: Array, weight: Array | None, reduction):
    _broadcast(input, target)
    need_float(input, "mse_cpu")
    difference = widen(input) - widen(target)
    return _weighted(difference * difference, weight, reduction).astype(input.dtype)


def _weighted(losses, weight, reduction):
    if weight is None:
        return reduce_loss(losses, reduction)
    if weight.shape != losses.shape:
        raise ValueError("Weights and input must have the same size.")
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduce_loss(losses, reduction)


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The squared difference.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: a weight for each element; the mean is then over the weights.
    """
    _same_size(input, target)
    return _mse(input, target, weight, reduction_of(size_average, reduce, reduction))


@op(name="l1_loss", method=False, promote="common")
def _l1(input: Array, target: Array, weight: Array | None, reduction):
    _broadcast(input, target)
    return _weighted(absolute_of(input - target), weight, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The absolute difference."""
    _same_size(input, target)
    return _l1(input, target, weight, reduction_of(size_average, reduce, reduction))


@op(name="smooth_l1_loss", method=False, promote="common")
def _smooth_l1(input: Array, target: Array, beta, reduction):
    _broadcast(input, target)
    need_float(input, "smooth_l1_cpu")
    difference = jnp.abs(input - target)
    return reduce_loss(
        jnp.where(difference < beta, 0.5 * difference * difference / beta, difference - 0.5 * beta), reduction
    )


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Squared below ``beta``, absolute above (Girshick 2015).

    Raises:
        RuntimeError: ``beta`` is negative.
    """
    _same_size(input, target)
    reduction = reduction_of(size_average, reduce, reduction)
    if beta == 0.0:
        return _l1(input, target, None, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _smooth_l1(input, target, beta, reduction)


@op(name="huber_loss", method=False, promote="common")
def _huber(input: Array, target: Array, weight: Array | None, delta, reduction):
    _broadcast(input, target)
    need_float(input, "huber_cpu")
    difference = jnp.abs(input - target)
    losses = jnp.where(difference < delta, 0.5 * difference * difference, delta * (difference - 0.5 * delta))
    return _weighted(losses, weight, reduction)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Squared below ``delta``, ``delta`` times absolute above (Huber 1964).

    Raises:
        RuntimeError: ``delta`` is not positive.
    """
    _same_size(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return _huber(input, target, weight, delta, reduction_of(None, None, reduction))


@jax.custom_jvp
def _bce(p, target):
    # torch limits the logarithms, so that 0 and 1 cost 100 and not infinity.
    return -(target * jnp.maximum(jnp.log(p), -100) + (1 - target) * jnp.maximum(jnp.log1p(-p), -100))


@_bce.defjvp
def _bce_jvp(primals, tangents):
    p, target = primals
    slope = (p - target) / jnp.maximum((1 - p) * p, 1e-12)
    by_target = jnp.maximum(jnp.log1p(-p), -100) - jnp.maximum(jnp.log(p), -100)
    return _bce(p, target), slope * tangents[0] + by_target * tangents[1]


@op(name="binary_cross_entropy", method=False)
def _binary_cross_entropy(input: Array, target: Array, weight: Array | None, reduction):
    if target.dtype != input.dtype:
        raise RuntimeError(f"Found dtype {scalar_name(dtype_of(target))} but expected {scalar_name(dtype_of(input))}")
    losses = _bce(widen(input), widen(target))
    if weight is not None:
        losses = losses * weight
    return reduce_loss(losses, reduction).astype(input.dtype)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Cross-entropy of probabilities with targets between 0 and 1.

    Raises:
        ValueError: the sizes differ.
        RuntimeError: an input outside ``[0, 1]``, or dtypes that differ.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape!r}) that is different to the input size ({input.shape!r}) is "
            "deprecated. Please ensure they have the same size."
        )
    host = concrete(input)
    if host is not None and host.size and not ((host >= 0) & (host <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    return _binary_cross_entropy(input, target, weight, reduction)


@op(name="binary_cross_entropy_with_logits", method=False)
def _bce_logits(input: Array, target: Array, weight: Array | None, pos_weight: Array | None, reduction):
    if not jnp.issubdtype(target.dtype, jnp.floating):
        raise RuntimeError(
            f"result type {scalar_name(dtype_of(input))} can't be cast to the desired output type "
            f"{scalar_name(dtype_of(target))}"
        )
    x, t = widen(input), widen(target)
    negative = jax.nn.softplus(-x)
    if pos_weight is not None:
        negative = negative * ((pos_weight - 1) * t + 1)
    losses = (1 - t) * x + negative
    if weight is not None:
        losses = losses * weight
    return reduce_loss(losses, reduction).astype(input.dtype)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """Cross-entropy of ``sigmoid(input)`` with targets between 0 and 1.

    Args:
        pos_weight: a factor for the positive part, broadcast to the target.

    Raises:
        ValueError: the sizes differ.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape!r}) must be the same as input size ({input.shape!r})")
    return _bce_logits(input, target, weight, pos_weight, reduction)


def _xlogx(t):
    zero = t == 0
    return jnp.where(zero, 0 * t, t * jnp.log(jnp.where(zero, 1, t)))


@op(name="kl_div", method=False, promote="common")
def _kl_div(input: Array, target: Array, reduction, log_target):
    _broadcast(input, target)
    losses = jnp.exp(target) * (target - input) if log_target else _xlogx(target) - target * input
    if reduction == "batchmean":
        return losses.sum() / (input.shape[0] if input.ndim else 1)
    return reduce_loss(losses, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """Kullback-Leibler divergence of log-probabilities ``input`` from ``target``.

    Args:
        reduction: ``"batchmean"`` (the definition), ``"mean"``, ``"sum"`` or ``"none"``.
        log_target: ``target`` holds log-probabilities too.
    """
    if size_average is not None or reduce is not None or reduction != "batchmean":
        reduction = reduction_of(size_average, reduce, reduction)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    return _kl_div(input, target, reduction, bool(log_target))


@op(name="soft_margin_loss", method=False, promote="common")
def _soft_margin(input: Array, target: Array, reduction):
    return reduce_loss(jax.nn.softplus(-target * input), reduction)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """``log(1 + exp(-target * input))`` with targets of 1 and -1."""
    if state.grad and target.requires_grad:
        raise RuntimeError(
            "The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input "
            "cannot have requires_grad True."
        )
    return _soft_margin(input, target, reduction_of(size_average, reduce, reduction))


@op(name="margin_ranking_loss", method=False, promote="common")
def _margin_ranking(input1: Array, input2: Array, target: Array, margin: Number, reduction):
    losses = -target * (input1 - input2) + margin
    return reduce_loss(jnp.where(losses < 0, 0, losses), reduction)


def margin_ranking_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """``max(0, -target * (input1 - input2) + margin)``.

    Raises:
        RuntimeError: the tensors have different numbers of dimensions.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape!r}, input2: {input2.shape!r}, target: {target.shape!r} "
        )
    return _margin_ranking(input1, input2, target, margin, reduction)


@op(name="hinge_embedding_loss", method=False)
def _hinge_embedding(input: Array, target: Array, margin: Number, reduction):
    zero = jnp.zeros((), input.dtype)
    margin_part = jnp.where(target == 1, zero, jnp.maximum(margin - input, 0).astype(input.dtype))
    return reduce_loss(margin_part + jnp.where(target == -1, zero, input), reduction)


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    return _hinge_embedding(input, target, margin, reduction_of(size_average, reduce, reduction))


@op(name="poisson_nll_loss", method=False, promote="float")
def _poisson(input: Array, target: Array, log_input, full, eps, reduction):
    losses = jnp.exp(input) - target * input if log_input else input - target * jnp.log(input + eps)
    if full:
        stirling = target * jnp.log(target) - target + 0.5 * jnp.log(2 * math.pi * target)
        losses = losses + jnp.where(target <= 1, 0, stirling)
    return reduce_loss(losses, reduction)


def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """Negative log-likelihood of counts under a Poisson distribution.

    Args:
        log_input: ``input`` is the logarithm of the rate.
        full: add Stirling's approximation of the constant term.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    return _poisson(input, target, bool(log_input), bool(full), eps, reduction)


@op(name="gaussian_nll_loss", method=False)
def _gaussian(input: Array, target: Array, var: Array, full, eps, reduction):
    limited = var + jax.lax.stop_gradient(jnp.maximum(var, eps) - var)
    losses = 0.5 * (jnp.log(limited) + (input - target) ** 2 / limited)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduce_loss(losses, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """Negative log-likelihood under normal distributions of the given variances.

    Args:
        var: a number, or a tensor of the input's size, or with one dimension of 1 instead, or without the last.

    Raises:
        ValueError: ``var`` does not fit, or is negative.
    """
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input * 0 + var
    elif var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif len(var.shape) != len(input.shape) or sum(v for n, v in zip(input.shape, var.shape) if n != v) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    host = concrete(var)
    if host is not None and (host < 0).any():
        raise ValueError("var has negative entry/entries")
    return _gaussian(input, target, var, bool(full), eps, reduction)


@op(name="multilabel_soft_margin_loss", method=False, promote="common")
def _multilabel_soft_margin(input: Array, target: Array, weight: Array | None, reduction):
    losses = target * jax.nn.softplus(-input) + (1 - target) * jax.nn.softplus(input)
    if weight is not None:
        losses = losses * weight
    return reduce_loss(losses.mean(-1), reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """One logistic loss per class, averaged over classes."""
    return _multilabel_soft_margin(input, target, weight, reduction_of(size_average, reduce, reduction))


__all__ = [
    "binary_cross_entropy_with_logits", "hinge_embedding_loss", "kl_div", "margin_ranking_loss", "poisson_nll_loss",
]  # fmt: skip
