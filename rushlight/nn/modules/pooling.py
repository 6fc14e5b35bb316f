"""Owns the pooling layers.

May import the functions.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from ._options import own_init, shown
from .module import Module
from .utils import _ntuple

# An int, or one for each dimension.
Size = Any


class _MaxPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode"]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return shown(self, "kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool1d(_MaxPoolNd):
    """The maximum of each window.

    Args:
        kernel_size: the window's size.
        stride: from one window to the next; default ``kernel_size``.
        padding: how many minus infinities surround the input.
        dilation: from one element of a window to the next.
        return_indices: also give where the maxima were, for ``MaxUnpool1d``.
        ceil_mode: keep a last window that is cut off by the border.

    Shape: ``(N, C, L)`` or ``(C, L)``.

    Raises:
        RuntimeError: the sizes do not fit, when called.
    """

    def forward(self, input):
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool2d(_MaxPoolNd):
    """The maximum of each window.

    Args:
        kernel_size, stride, padding, dilation, return_indices, ceil_mode: as for ``MaxPool1d``; one int or two.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.MaxPool2d(2)(torch.arange(4.0).reshape(1, 2, 2))
        tensor([[[3.]]])
    """

    def forward(self, input):
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool3d(_MaxPoolNd):
    """The maximum of each window.

    Args:
        kernel_size, stride, padding, dilation, return_indices, ceil_mode: as for ``MaxPool1d``; one int or three.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class _MaxUnpoolNd(Module):
    __init_subclass__ = own_init
    _nd: int

    def __init__(self, kernel_size: Size, stride: Size = None, padding: Size = 0) -> None:
        super().__init__()
        several = _ntuple(self._nd)
        self.kernel_size = several(kernel_size)
        self.stride = several(kernel_size if stride is None else stride)
        self.padding = several(padding)

    def extra_repr(self) -> str:
        return shown(self, "kernel_size", "stride", "padding")


class MaxUnpool1d(_MaxUnpoolNd):
    """Put the maxima of ``MaxPool1d`` back where they came from, zeros elsewhere.

    Args:
        kernel_size, stride, padding: those of the pooling.

    Shape: values and indices ``(N, C, L)``; the result's length is what the pooling took, or ``output_size``.

    Raises:
        ValueError: ``output_size`` cannot be what was pooled.
    """

    _nd = 1

    def forward(self, input, indices, output_size=None):
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpoolNd):
    """Put the maxima of ``MaxPool2d`` back where they came from, zeros elsewhere.

    Args:
        kernel_size, stride, padding: those of the pooling.

    Shape: values and indices ``(N, C, H, W)``; the result's size is what the pooling took, or ``output_size``.
    """

    _nd = 2

    def forward(self, input, indices, output_size=None):
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpoolNd):
    """Put the maxima of ``MaxPool3d`` back where they came from, zeros elsewhere.

    Args:
        kernel_size, stride, padding: those of the pooling.

    Shape: values and indices ``(N, C, D, H, W)``; the result's size is what the pooling took, or ``output_size``.
    """

    _nd = 3

    def forward(self, input, indices, output_size=None):
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _AvgPoolNd(Module):
    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]

    def extra_repr(self) -> str:
        return shown(self, "kernel_size", "stride", "padding")


class AvgPool1d(_AvgPoolNd):
    """The mean of each window.

    Args:
        kernel_size: the window's size.
        stride: from one window to the next; default ``kernel_size``.
        padding: how many zeros surround the input.
        ceil_mode: keep a last window that is cut off by the border.
        count_include_pad: the zeros of the padding count in the mean.

    Shape: ``(N, C, L)`` or ``(C, L)``.

    Raises:
        RuntimeError: the sizes do not fit, when called.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        several = _ntuple(1)
        self.kernel_size = several(kernel_size)
        self.stride = several(kernel_size if stride is None else stride)
        self.padding = several(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input):
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPoolDivided(_AvgPoolNd):
    __init_subclass__ = own_init
    __constants__ = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override


class AvgPool2d(_AvgPoolDivided):
    """The mean of each window.

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as for ``AvgPool1d``; one int or two.
        divisor_override: divide the sums by this.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.AvgPool2d(2)(torch.arange(4.0).reshape(1, 2, 2))
        tensor([[[1.5000]]])
    """

    def forward(self, input):
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(_AvgPoolDivided):
    """The mean of each window.

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as for ``AvgPool1d``; one int or three.
        divisor_override: divide the sums by this.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def __setstate__(self, d: dict) -> None:
        super().__setstate__(d)
        # Pickles from before these options existed.
        for name, value in (("padding", 0), ("ceil_mode", False), ("count_include_pad", True)):
            self.__dict__.setdefault(name, value)


class _FractionalMaxPoolNd(Module):
    __init_subclass__ = own_init
    __constants__ = ["kernel_size", "return_indices", "output_size", "output_ratio"]
    _nd: int

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples=None,
    ) -> None:
        super().__init__()
        several, name = _ntuple(self._nd), f"FractionalMaxPool{self._nd}d"
        if self._nd == 3 and any(k <= 0 for k in several(kernel_size)):
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.kernel_size = several(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else several(output_size)
        self.output_ratio = None if output_ratio is None else several(output_ratio)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio[: self._nd]):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The maximum of windows at random places (Graham 2014).

    Args:
        kernel_size: the window's size.
        output_size: how many windows; or
        output_ratio: how many, as a fraction of the input's size.
        return_indices: also give where the maxima were, for ``MaxUnpool2d``.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.

    Raises:
        ValueError: not exactly one of ``output_size`` and ``output_ratio``, or a ratio outside ``(0, 1)``.
    """

    _nd = 2

    def forward(self, input):
        return F.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The maximum of windows at random places (Graham 2014).

    Args:
        kernel_size, output_size, output_ratio, return_indices: as for ``FractionalMaxPool2d``; one or three.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    _nd = 3

    def forward(self, input):
        return F.fractional_max_pool3d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class _LPPoolNd(Module):
    __constants__ = ["norm_type", "kernel_size", "stride", "ceil_mode"]

    def __init__(self, norm_type: float, kernel_size: Size, stride: Size = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return shown(self, "norm_type", "kernel_size", "stride", "ceil_mode")


class LPPool1d(_LPPoolNd):
    """The ``norm_type``-norm of each window.

    Args:
        norm_type: which norm.
        kernel_size: the window's size.
        stride: from one window to the next; default ``kernel_size``.
        ceil_mode: keep a last window that is cut off by the border.

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    def forward(self, input):
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPoolNd):
    """The ``norm_type``-norm of each window.

    Args:
        norm_type, kernel_size, stride, ceil_mode: as for ``LPPool1d``; sizes are one int or two.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    def forward(self, input):
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPoolNd):
    """The ``norm_type``-norm of each window.

    Args:
        norm_type, kernel_size, stride, ceil_mode: as for ``LPPool1d``; sizes are one int or three.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    def forward(self, input):
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


# torch's pickles and printouts know these from here.
for _layer in (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
):
    _layer.__module__ = __name__

__all__ = [
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "AvgPool1d", "AvgPool2d",
    "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
]  # fmt: skip
