"""Owns the dropout layers.

May import the functions.
"""

from __future__ import annotations

from .. import functional as F
from ._options import shown
from .module import Module


class _DropoutNd(Module):
    """What all dropouts share: a probability, checked."""

    __constants__ = ["p", "inplace"]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return shown(self, "p", "inplace")


class Dropout(_DropoutNd):
    """While training, zero each element with probability ``p`` and divide the others by ``1 - p`` (Hinton et al. 2012).

    Args:
        p: the probability.
        inplace: overwrite the input.

    Shape: any; the result has the input's.

    Raises:
        ValueError: ``p`` is not a probability.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Dropout(0.2).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def forward(self, input):
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Dropout of whole channels (Tompson et al. 2015).

    Args:
        p: the probability.
        inplace: overwrite the input.

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    def forward(self, input):
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Dropout of whole channels (Tompson et al. 2015).

    Args:
        p: the probability.
        inplace: overwrite the input.

    Shape: ``(N, C, H, W)``.
    """

    def forward(self, input):
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Dropout of whole channels (Tompson et al. 2015).

    Args:
        p: the probability.
        inplace: overwrite the input.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout that keeps the mean and variance of SELU's output (Klambauer et al. 2017).

    Args:
        p: the probability.
        inplace: has no effect, as in PyTorch: the result is a new tensor.
    """

    def forward(self, input):
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """Alpha dropout of whole channels.

    Args:
        p: the probability.
        inplace: has no effect, as in PyTorch: the result is a new tensor.

    Shape: ``(N, C, *)``.
    """

    def forward(self, input):
        return F.feature_alpha_dropout(input, self.p, self.training)


__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]
