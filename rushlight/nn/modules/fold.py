"""Owns the layers between images and their sliding blocks.

May import the functions.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._options import shown
from .module import Module


class Fold(Module):
    """The sum of sliding blocks put back in place: the transpose of ``Unfold``.

    Args:
        output_size: the image's height and width.
        kernel_size: a block's.
        dilation: from one element of a block to the next.
        padding: zeros around the image.
        stride: from one block to the next.

    Shape: ``(N, C * kernel elements, positions)`` to ``(N, C, *output_size)``.

    Raises:
        RuntimeError: sizes that do not fit, when called.
    """

    __constants__ = ["output_size", "kernel_size", "dilation", "padding", "stride"]

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input):
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return shown(self, "output_size", "kernel_size", "dilation", "padding", "stride")


class Unfold(Module):
    """All sliding blocks of an image, as columns.

    Args:
        kernel_size: a block's height and width.
        dilation: from one element of a block to the next.
        padding: zeros around the image.
        stride: from one block to the next.

    Shape: ``(N, C, H, W)`` to ``(N, C * kernel elements, positions)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Unfold(2)(torch.arange(6.0).reshape(1, 1, 2, 3))
        tensor([[[0., 1.],
                 [1., 2.],
                 [3., 4.],
                 [4., 5.]]])
    """

    __constants__ = ["kernel_size", "dilation", "padding", "stride"]

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input):
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return shown(self, "kernel_size", "dilation", "padding", "stride")


__all__ = ["Fold", "Unfold"]
