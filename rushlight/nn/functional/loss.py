"""Owns the losses that are built from other functions of ``nn.functional``.

May import the operators.
"""

from __future__ import annotations

import math
import warnings

from ... import dtypes
from ...ops.nn_distance import pairwise_distance
from ...ops.nn_linear import linear
from ...ops.nn_linear_loss import linear_cross_entropy_chunked
from ...ops.nn_loss import reduction_of
from ...ops.nn_loss_class import check_classes, cross_entropy


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """The triplet loss with any distance.

    Args:
        distance_function: of two tensors; default ``pairwise_distance``.

    Raises:
        ValueError: an unknown reduction, or a margin that is not positive.
    """
    reduction_of(None, None, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    loss = (margin + near - far).clamp(min=0)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``.

    Args:
        weight, reduction, ignore_index, label_smoothing: as for ``cross_entropy``.
        options: a ``LinearCrossEntropyOptions`` works in chunks, so that all logits never exist at once.

    Shape:
        input ``(N, in)`` or ``(in,)``, linear_weight ``(C, *, in)``, linear_bias ``(C, *)``; class indices ``(N, *)``
        or probabilities ``(N, C, *)``.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    shape, matrix = input.shape, linear_weight.shape
    if len(shape) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(shape)}")
    if len(matrix) < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {len(matrix)}")
    features, classes, positions = shape[-1], matrix[0], tuple(matrix[1:-1])
    if features != matrix[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), "
            f"got {features} and {matrix[-1]}, respectively"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *positions):
        raise RuntimeError(f"expected linear_bias shape {(classes, *positions)}, got {tuple(linear_bias.shape)}")
    if positions and len(shape) == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(matrix)} requires batched input, "
            f"(N, {features}), got unbatched input with shape {tuple(shape)}"
        )
    logits_shape = (*shape[:-1], classes, *positions)
    if tuple(target.shape) == logits_shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    if options is not None:
        known = reduction in ("mean", "sum", "none")
        if known and label_smoothing == 0.0 and target.dtype is dtypes.int64 and not positions:
            return _chunked(input, linear_weight, target, linear_bias, weight, reduction, ignored, options)
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, "
            f"label_smoothing == 0, target.dtype == int64, out_features == (). Got reduction={reduction!r}, "
            f"label_smoothing={label_smoothing}, target.dtype={target.dtype}, out_features={positions}.",
            stacklevel=2,
        )
    if positions:
        linear_weight = linear_weight.reshape((math.prod(positions, start=classes), features))
        linear_bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight, linear_bias)
    if positions:
        logits = logits.reshape(logits_shape)
    return cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _chunked(input, linear_weight, target, bias, weight, reduction, ignored, options):
    batched = input.dim() == 2
    x, t = (input, target) if batched else (input.unsqueeze(0), target.unsqueeze(0))
    rows, features = x.shape
    classes = linear_weight.shape[0]
    chunk = options._chunk_size(rows, features, classes, x.dtype, x.device)
    acc = options._acc(x.dtype).np
    out = linear_cross_entropy_chunked(x, linear_weight, t, bias, weight, ignored, reduction, chunk, acc)
    check_classes(t, classes, ignored)
    return out if batched or reduction != "none" else out.squeeze(0)
