"""Owns the convolutions that round their weight while training.

May import nn, the fused containers and the helpers beside.
"""

from __future__ import annotations

from typing import Any

from ..... import nn
from ...intrinsic.modules.fused import _FusedModule
from .linear import check_float, copy_values, need_qconfig


def float_conv(conv: Any) -> Any:
    """The plain convolution with the options and values of one that rounds."""
    plain = conv._FLOAT_CONV_MODULE(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
        conv.bias is not None, conv.padding_mode,
    )  # fmt: skip
    return copy_values(conv, plain)


class _Rounds:
    """What the convolutions that round their weight add to the plain ones, before which they stand."""

    _FLOAT_MODULE: Any
    _FLOAT_CONV_MODULE: Any

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", qconfig: Any = None,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        plain: Any = super().__init__
        plain(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.qconfig = need_qconfig(qconfig)
        self.weight_fake_quant = qconfig.weight(factory_kwargs={"device": device, "dtype": dtype})

    def forward(self: Any, input: Any) -> Any:
        """Convolve with the rounded weight."""
        return self._conv_forward(input, self.weight_fake_quant(self.weight), self.bias)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; it shares the parameters.

        Args:
            mod: the plain module, with ``qconfig``.
            use_precomputed_fake_quant: accepted for torch's sake; nothing is computed beforehand.

        Raises:
            AssertionError: a module of another type, or without ``qconfig``.
        """
        check_float(cls, mod)
        if issubclass(cls, _FusedModule):
            mod = mod[0]
        new: Any = cls(
            mod.in_channels, mod.out_channels, mod.kernel_size, stride=mod.stride, padding=mod.padding,
            dilation=mod.dilation, groups=mod.groups, bias=mod.bias is not None, padding_mode=mod.padding_mode,
            qconfig=mod.qconfig,
        )  # fmt: skip
        new.weight, new.bias = mod.weight, mod.bias
        return new

    def to_float(self: Any) -> Any:
        """The plain module with the values of this one, not rounded."""
        conv = float_conv(self)
        if not isinstance(self, _FusedModule):
            return conv
        return self._FLOAT_MODULE(conv, self._FLOAT_RELU_MODULE()).train(self.training)  # type: ignore[attr-defined]


class Conv1d(_Rounds, nn.Conv1d):
    """``nn.Conv1d`` whose weight is rounded to the quantization grid each time.

    Args:
        qconfig: ``qconfig.weight`` makes what rounds.
        others: those of ``nn.Conv1d``.

    Raises:
        AssertionError: no ``qconfig``.

    Example:
        >>> import rushlight as torch
        >>> conv = Conv1d(2, 3, 1, qconfig=torch.ao.quantization.default_qat_qconfig)
        >>> conv(torch.zeros(1, 2, 5)).shape
        torch.Size([1, 3, 5])
    """

    _FLOAT_MODULE = _FLOAT_CONV_MODULE = nn.Conv1d


class Conv2d(_Rounds, nn.Conv2d):
    """``nn.Conv2d`` whose weight is rounded to the quantization grid each time.

    Args: as for ``Conv1d``.
    """

    _FLOAT_MODULE = _FLOAT_CONV_MODULE = nn.Conv2d


class Conv3d(_Rounds, nn.Conv3d):
    """``nn.Conv3d`` whose weight is rounded to the quantization grid each time.

    Args: as for ``Conv1d``.
    """

    _FLOAT_MODULE = _FLOAT_CONV_MODULE = nn.Conv3d


__all__ = ["Conv1d", "Conv2d", "Conv3d"]
