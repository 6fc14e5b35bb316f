"""Owns the losses that are built from other functions of ``nn.functional``.

May import the operators.
"""

from __future__ import annotations

from ...ops.nn_distance import pairwise_distance
from ...ops.nn_loss import reduction_of


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
