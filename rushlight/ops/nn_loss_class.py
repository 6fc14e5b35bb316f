"""Owns the losses over classes: cross-entropy, negative log-likelihood, margins.

May import the door, nn_common, nn_loss and jax. A target class is picked by comparison with a counter, not by a
gather: the derivative is then a selection, where a gather's would be a scatter.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import lax

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, Number, op
from .nn_common import concrete, dtype_of, need_float, widen
from .nn_loss import reduce_loss, reduction_of


def _log_softmax(x, axis):
    shifted = x - lax.stop_gradient(x.max(axis, keepdims=True))
    return shifted - jnp.log(jnp.exp(shifted).sum(axis, keepdims=True))


def _is_target(x, target, axis):
    """True where an element belongs to the target class."""
    classes = lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return classes == jnp.expand_dims(target.astype(jnp.int32), axis)


def _picked(x, target, axis):
    return jnp.where(_is_target(x, target, axis), x, jnp.zeros((), x.dtype)).sum(axis)


def _check_target(input, target, axis):
    """Sizes and dtype of class indices.

    Raises:
        RuntimeError, ValueError: as torch.
    """
    if input.ndim == 1:
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    elif input.shape[0] != (target.shape[0] if target.ndim else 1):
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({(*target.shape, 0)[0]})."
        )
    if input.ndim == 2 and target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if input.ndim > 1 and target.shape != expected:
        if input.ndim == 4:
            raise RuntimeError(f"size mismatch (got input: {list(input.shape)} , target: {list(target.shape)}")
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(target.shape)}")
    if target.dtype not in (jnp.int64, jnp.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {scalar_name(dtype_of(target))}")


def _check_weight(weight, classes):
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(weight.shape)}"
        )


def _nll(logs, target, weight, axis, ignore_index, reduction):
    """The loss, and each target's weight (0 where it is ignored)."""
    kept = target != ignore_index
    scale = kept.astype(logs.dtype) if weight is None else jnp.where(kept, weight[jnp.where(kept, target, 0)], 0)
    losses = jnp.where(kept, -_picked(logs, target, axis) * scale, 0)
    if reduction == "mean":
        return losses.sum() / scale.sum(), scale
    return reduce_loss(losses, reduction), scale


@op(name="nll_loss", method=False)
def _nll_loss(input: Array, target: Array, weight: Array | None, ignore_index, reduction):
    axis = 0 if input.ndim == 1 else 1
    need_float(input, "nll_loss_out_frame")
    _check_target(input, target, axis)
    _check_weight(weight, input.shape[axis])
    if input.ndim == 1:
        target = target.reshape(())
    return _nll(input, target, weight, axis, ignore_index, reduction)[0]


def check_classes(target, classes, ignore_index):
    """Refuse class indices out of range, where the values are at hand.

    Raises:
        IndexError: naming the first one.
    """
    host = concrete(target)
    if host is None or not host.size:
        return
    if host.max() >= classes or host.min() < 0:
        bad = host[((host >= classes) | (host < 0)) & (host != ignore_index)]
        if bad.size:
            raise IndexError(f"Target {bad.flat[0]} is out of bounds.")


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Minus the log-probability of the target class.

    Shape:
        input ``(C,)`` or ``(N, C, ...)``, target ``()`` or ``(N, ...)`` of class indices.

    Raises:
        ValueError, RuntimeError: sizes or dtypes do not fit.
        IndexError: a class out of range.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    result = _nll_loss(input, target, weight, ignore_index, reduction)
    shape = input._array().shape
    check_classes(target, shape[1 if len(shape) > 1 else 0], ignore_index)
    return result


@op(name="cross_entropy", method=False)
def _cross_entropy(
    input: Array, target: Array, weight: Array | None, smoothing: Number, smooth, ignore_index, reduction
):
    axis = 0 if input.ndim == 1 else 1
    need_float(input, "log_softmax_lastdim_kernel_impl")
    _check_target(input, target, axis)
    classes = input.shape[axis]
    _check_weight(weight, classes)
    if input.ndim == 1:
        target = target.reshape(())
    weight = widen(weight)
    logs = _log_softmax(widen(input), axis)
    loss, scale = _nll(logs, target, weight, axis, ignore_index, reduction)
    if smooth:
        per_class = (
            logs if weight is None else logs * weight.reshape([-1 if i == axis else 1 for i in range(logs.ndim)])
        )
        spread = jnp.where(target != ignore_index, -per_class.sum(axis), 0)
        spread = spread.sum() / scale.sum() if reduction == "mean" else reduce_loss(spread, reduction)
        loss = (1 - smoothing) * loss + (smoothing / classes) * spread
    return loss.astype(input.dtype)


@op(name="cross_entropy_probabilities", method=False)
def _cross_entropy_soft(input: Array, target: Array, weight: Array | None, smoothing: Number, smooth, reduction):
    axis = 0 if input.ndim == 1 else 1
    need_float(input, "log_softmax_lastdim_kernel_impl")
    if not jnp.issubdtype(target.dtype, jnp.floating):
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {scalar_name(dtype_of(target))}"
        )
    classes = input.shape[axis] if input.ndim else 1
    _check_weight(weight, classes)
    logs = _log_softmax(widen(input), axis) if input.ndim else input * 0
    target = widen(target)
    if smooth:
        target = target * (1 - smoothing) + smoothing / classes
    if weight is not None:
        target = target * widen(weight).reshape([-1 if i == axis else 1 for i in range(input.ndim)])
    losses = -(logs * target).sum(axis) if input.ndim else -(logs * target)
    if reduction == "mean":
        return (losses.sum() / (input.size // max(classes, 1))).astype(input.dtype)
    return reduce_loss(losses, reduction).astype(input.dtype)


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):
    """Negative log-likelihood of the softmax of ``input``.

    Args:
        target: class indices, or probabilities of the input's shape.
        weight: one factor per class.
        ignore_index: targets with this index count for nothing.
        label_smoothing: how much of the target is spread over all classes.

    Shape:
        input ``(C,)`` or ``(N, C, ...)``; indices ``()`` or ``(N, ...)``.

    Raises:
        ValueError, RuntimeError: sizes or dtypes do not fit.
        IndexError: a class out of range.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
        >>> torch.nn.functional.cross_entropy(x, torch.tensor([0, 1]))
        tensor(0.4100)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    shape, smooth = input._array().shape, label_smoothing > 0
    if target._array().shape == shape:
        if ignore_index >= 0 and target.is_floating_point():
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _cross_entropy_soft(input, target, weight, label_smoothing, smooth, reduction)
    result = _cross_entropy(input, target, weight, label_smoothing, smooth, ignore_index, reduction)
    check_classes(target, shape[1 if len(shape) > 1 else 0], ignore_index)
    return result


@op(name="multi_margin_loss", method=False)
def _multi_margin(input: Array, target: Array, weight: Array | None, p, margin: Number, reduction):
    x = input.reshape(1, -1) if input.ndim < 2 else input
    t = target.reshape(-1)
    hit = _is_target(x, t, 1)
    gap = margin - _picked(x, t, 1)[:, None] + x
    losses = jnp.where(hit | (gap <= 0), 0, gap**p)
    if weight is not None:
        losses = losses * weight[t][:, None]
    losses = losses.sum(1) / x.shape[1]
    return reduce_loss(losses if input.ndim > 1 else losses[0], reduction)


def multi_margin_loss(
    input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"
):  # fmt: skip
    """Mean over classes of ``max(0, margin - x[target] + x[i]) ** p``.

    Raises:
        ValueError: ``p`` is neither 1 nor 2, or the weight has dimensions other than one.
        RuntimeError: an input that is neither a vector nor a matrix, or another number of targets than of samples.
        IndexError: a class out of range.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p != 1 and p != 2:
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    shape, given = _rows(input), tuple(target.shape)
    count = shape[0] if len(shape) == 2 else 1
    if given != (count,) and not (count == 1 and given == ()):
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{count}], but got {list(given)}. Input has shape {list(shape)}."
        )
    need_long(target)
    if weight is not None and tuple(weight.shape) != (shape[-1] if shape else 1,):
        raise RuntimeError(
            f"inconsistent weight size, expected {shape[-1] if shape else 1} but got {list(weight.shape)}"
        )
    check_classes(target, shape[-1] if shape else 1, None)
    return _multi_margin(input, target, weight, p, margin, reduction)


@op(name="multilabel_margin_loss", method=False)
def _multilabel_margin(input: Array, target: Array, reduction):
    x, t = (input.reshape(1, -1), target.reshape(1, -1)) if input.ndim < 2 else (input, target)
    # Only the labels before the first -1 count.
    valid = jnp.cumprod(t >= 0, axis=1).astype(bool)
    labels = jnp.where(valid, t, 0)
    positive = jnp.zeros(x.shape, bool).at[jnp.arange(x.shape[0])[:, None], labels].max(valid)
    chosen = jnp.take_along_axis(x, labels, 1)
    gap = 1 - chosen[:, :, None] + x[:, None, :]
    losses = jnp.where(valid[:, :, None] & ~positive[:, None, :] & (gap > 0), gap, 0).sum((1, 2)) / x.shape[1]
    return reduce_loss(losses if input.ndim > 1 else losses[0], reduction)


def _rows(input):
    """The shape of a vector of scores, or of a matrix of them.

    Raises:
        RuntimeError: it is neither.
    """
    shape = tuple(input.shape)
    if len(shape) > 2 or (shape and shape[-1] == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)}"
        )
    return shape


def need_long(target):
    """Refuse class indices of another dtype.

    Raises:
        RuntimeError: naming it.
    """
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"expected scalar type Long but found {scalar_name(target.dtype)}")


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Hinge loss between each target class and each other class; targets end at the first -1.

    Raises:
        RuntimeError: an input that is neither a vector nor a matrix, or targets of another size or dtype, or out of
            range.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    shape, given = _rows(input), tuple(target.shape)
    if given != shape and not (len(shape) < 2 and len(given) < 2 and math.prod(given) == math.prod(shape) == 1):
        raise RuntimeError(f"inconsistent target size: {list(given)} for input of size: {list(shape)}")
    need_long(target)
    host = concrete(target)
    if host is not None and host.size and (host.min() < -1 or host.max() >= shape[-1] if shape else host.max() > 0):
        raise RuntimeError("argument #2 'target' is out of range")
    return _multilabel_margin(input, target, reduction)


__all__: list[str] = []
