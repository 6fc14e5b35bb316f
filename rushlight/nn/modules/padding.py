"""Owns the padding layers.

May import the functions.
"""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ._options import own_init, shown
from .module import Module
from .utils import _ntuple


class _Pad(Module):
    """Padding of the last ``_nd`` dimensions: one number, or (low, high) of each from the last on."""

    __init_subclass__ = own_init
    __constants__ = ["padding"]
    _nd: int
    _mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self._nd)(padding)

    def forward(self, input):
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class _CircularPadNd(_Pad):
    _mode = "circular"

    def _check_input_dim(self, input) -> None:
        allowed = (self._nd + 1, self._nd + 2)
        if input.dim() not in allowed:
            raise ValueError(f"expected {allowed[0]}D or {allowed[1]}D input (got {input.dim()}D input)")

    def forward(self, input):
        self._check_input_dim(input)
        return F.pad(input, self.padding, "circular")


class CircularPad1d(_CircularPadNd):
    """Continue a signal as if it were periodic.

    Args:
        padding: one int, or (left, right).

    Shape: ``(N, C, L)`` or ``(C, L)``.

    Raises:
        ValueError: another number of dimensions, when called.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.CircularPad1d(1)(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[3., 1., 2., 3., 1.]])
    """

    _nd = 1


class CircularPad2d(_CircularPadNd):
    """Continue an image as if it were periodic.

    Args:
        padding: one int, or (left, right, top, bottom).

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    _nd = 2


class CircularPad3d(_CircularPadNd):
    """Continue a volume as if it were periodic.

    Args:
        padding: one int, or (left, right, top, bottom, front, back).

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    _nd = 3


class _ConstantPadNd(_Pad):
    __constants__ = ["padding", "value"]

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return shown(self, "padding", "value")


class ConstantPad1d(_ConstantPadNd):
    """Surround a signal with a constant; negative numbers crop.

    Args:
        padding: one int, or (left, right).
        value: the constant.

    Shape: any with at least one dimension.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.ConstantPad1d((1, 0), 9.0)(torch.tensor([1.0, 2.0]))
        tensor([9., 1., 2.])
    """

    _nd = 1


class ConstantPad2d(_ConstantPadNd):
    """Surround an image with a constant; negative numbers crop.

    Args:
        padding: one int, or (left, right, top, bottom).
        value: the constant.

    Shape: any with at least two dimensions.
    """

    _nd = 2


class ConstantPad3d(_ConstantPadNd):
    """Surround a volume with a constant; negative numbers crop.

    Args:
        padding: one int, or (left, right, top, bottom, front, back).
        value: the constant.

    Shape: any with at least three dimensions.
    """

    _nd = 3


class _ReflectionPadNd(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """Mirror a signal at its ends, which are not repeated.

    Args:
        padding: one int, or (left, right).

    Shape: ``(N, C, L)`` or ``(C, L)``.

    Raises:
        RuntimeError: more padding than there is signal, when called.
    """

    _nd = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Mirror an image at its borders, which are not repeated.

    Args:
        padding: one int, or (left, right, top, bottom).

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    _nd = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Mirror a volume at its borders, which are not repeated.

    Args:
        padding: one int, or (left, right, top, bottom, front, back).

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    _nd = 3


class _ReplicationPadNd(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """Repeat the ends of a signal.

    Args:
        padding: one int, or (left, right).

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    _nd = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Repeat the borders of an image.

    Args:
        padding: one int, or (left, right, top, bottom).

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    _nd = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Repeat the borders of a volume.

    Args:
        padding: one int, or (left, right, top, bottom, front, back).

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    _nd = 3


class ZeroPad1d(ConstantPad1d):
    """Surround a signal with zeros; negative numbers crop.

    Args:
        padding: one int, or (left, right).
    """

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad2d(ConstantPad2d):
    """Surround an image with zeros; negative numbers crop.

    Args:
        padding: one int, or (left, right, top, bottom).
    """

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad3d(ConstantPad3d):
    """Surround a volume with zeros; negative numbers crop.

    Args:
        padding: one int, or (left, right, top, bottom, front, back).
    """

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return str(self.padding)


__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d",
    "ReplicationPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip
