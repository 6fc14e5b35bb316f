"""Owns the layers that trade channels for resolution.

May import the functions.
"""

from __future__ import annotations

from .. import functional as F
from ._options import shown
from .module import Module


class PixelShuffle(Module):
    """Spread groups of channels over the pixels of a larger image (Shi et al. 2016).

    Args:
        upscale_factor: how much larger.

    Shape: ``(*, C * r * r, H, W)`` to ``(*, C, H * r, W * r)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.PixelShuffle(2)(torch.arange(4.0).reshape(4, 1, 1))
        tensor([[[0., 1.],
                 [2., 3.]]])
    """

    __constants__ = ["upscale_factor"]

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input):
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return shown(self, "upscale_factor")


class PixelUnshuffle(Module):
    """Gather blocks of pixels into channels: the inverse of ``PixelShuffle``.

    Args:
        downscale_factor: how much smaller the image becomes.

    Shape: ``(*, C, H * r, W * r)`` to ``(*, C * r * r, H, W)``.
    """

    __constants__ = ["downscale_factor"]

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input):
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return shown(self, "downscale_factor")


__all__ = ["PixelShuffle", "PixelUnshuffle"]
