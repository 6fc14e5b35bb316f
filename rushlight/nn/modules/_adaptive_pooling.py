"""Owns the pooling layers whose result has a given size; ``pooling`` shows them under its own name.

May import the functions.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._options import shown
from .module import Module

# An int or None, or one for each dimension.
Size = Any


class _AdaptiveMaxPoolNd(Module):
    __constants__ = ["output_size", "return_indices"]

    def __init__(self, output_size: Size, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return shown(self, "output_size")


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The maximum of windows chosen so that the result has ``output_size``.

    Args:
        output_size: the length.
        return_indices: also give where the maxima were.

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    def forward(self, input):
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The maximum of windows chosen so that the result has ``output_size``.

    Args:
        output_size: one size or two; None keeps the input's.
        return_indices: also give where the maxima were.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    def forward(self, input):
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The maximum of windows chosen so that the result has ``output_size``.

    Args:
        output_size: one size or three; None keeps the input's.
        return_indices: also give where the maxima were.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(Module):
    __constants__ = ["output_size"]

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return shown(self, "output_size")


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The mean of windows chosen so that the result has ``output_size``.

    Args:
        output_size: the length.

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    def forward(self, input):
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The mean of windows chosen so that the result has ``output_size``.

    Args:
        output_size: one size or two; None keeps the input's.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.AdaptiveAvgPool2d(1)(torch.arange(4.0).reshape(1, 2, 2))
        tensor([[[1.5000]]])
    """

    def forward(self, input):
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The mean of windows chosen so that the result has ``output_size``.

    Args:
        output_size: one size or three; None keeps the input's.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.adaptive_avg_pool3d(input, self.output_size)
