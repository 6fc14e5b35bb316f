"""Owns what all loss layers share; ``loss`` shows it under its own name.

May import Module and the losses' operators.
"""

from __future__ import annotations

from ...ops.nn_loss import legacy_reduction
from .module import Module


class _Loss(Module):
    """What all losses share: a reduction."""

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__()
        older = size_average is not None or reduce is not None
        self.reduction = legacy_reduction(size_average, reduce) if older else reduction


class _WeightedLoss(_Loss):
    """A loss with a weight for each class, or each element, as a buffer."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
