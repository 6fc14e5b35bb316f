"""Owns the convolution layers and their transposes, in one, two and three dimensions, and the lazy forms.

May import the base beside, Parameter, nn.functional and the modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor
from .. import functional as F
from ..parameter import UninitializedParameter
from ._conv_base import _ConvNd, _ConvTransposeNd
from .lazy import LazyModuleMixin
from .utils import _pair, _single, _triple


class Conv1d(_ConvNd):
    """Convolve over one spatial dimension, and add a bias.

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size: width of the kernel.
        stride: step from one output to the next.
        padding: added on both sides; or ``"same"`` (the size stays) or ``"valid"`` (nothing).
        dilation: step from one element of the kernel to the next.
        groups: blocks of channels that do not see each other.
        bias: whether to add one.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device, dtype: of the parameters.

    Shape:
        ``(N, in_channels, L)`` or ``(in_channels, L)``; weight ``(out_channels, in_channels / groups, kernel_size)``.

    Raises:
        ValueError: groups that do not divide the channels, or an unknown padding.

    Example:
        >>> import rushlight as torch
        >>> Conv1d(16, 33, 3, stride=2)(torch.zeros(20, 16, 50)).shape
        torch.Size([20, 33, 24])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _single(kernel_size), _single(stride),
            padding if isinstance(padding, str) else _single(padding), _single(dilation), False, (0,), groups, bias,
            padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return F.conv1d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return F.conv1d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_ConvNd):
    """Convolve over two spatial dimensions, and add a bias.

    Args: as for ``Conv1d``; sizes may be one int, or one for each dimension.

    Shape:
        ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``; weight
        ``(out_channels, in_channels / groups, *kernel_size)``.

    Raises:
        ValueError: groups that do not divide the channels, or an unknown padding.

    Example:
        >>> import rushlight as torch
        >>> Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))(torch.zeros(1, 16, 50, 100)).shape
        torch.Size([1, 33, 28, 100])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _pair(kernel_size), _pair(stride),
            padding if isinstance(padding, str) else _pair(padding), _pair(dilation), False, (0, 0), groups, bias,
            padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return F.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_ConvNd):
    """Convolve over three spatial dimensions, and add a bias.

    Args: as for ``Conv1d``; sizes may be one int, or one for each dimension.

    Shape:
        ``(N, in_channels, D, H, W)`` or ``(in_channels, D, H, W)``; weight
        ``(out_channels, in_channels / groups, *kernel_size)``.

    Raises:
        ValueError: groups that do not divide the channels, or an unknown padding.

    Example:
        >>> Conv3d(4, 8, 3, padding="same")
        Conv3d(4, 8, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=same)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _triple(kernel_size), _triple(stride),
            padding if isinstance(padding, str) else _triple(padding), _triple(dilation), False, (0, 0, 0), groups,
            bias, padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros":
            padded = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return F.conv3d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)
        return F.conv3d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        return self._conv_forward(input, self.weight, self.bias)


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of ``Conv1d``: what its derivative with respect to the input computes.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: those of the convolution.
        output_padding: added to one side of the output.
        padding_mode: ``"zeros"``.
        device, dtype: of the parameters.

    Shape:
        ``(N, in_channels, L)`` or ``(in_channels, L)``; weight ``(in_channels, out_channels / groups, kernel_size)``.

    Raises:
        ValueError: another padding mode, or groups that do not divide the channels.

    Example:
        >>> import rushlight as torch
        >>> ConvTranspose1d(2, 4, 3, stride=2)(torch.zeros(1, 2, 5), output_size=[12]).shape
        torch.Size([1, 4, 12])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _single(kernel_size), _single(stride), _single(padding), _single(dilation),
            True, _single(output_padding), groups, bias, padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Convolve; ``output_size`` picks among the sizes that a strided convolution maps to the input's."""
        return self._transposed(F.conv_transpose1d, 1, input, output_size)


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of ``Conv2d``: what its derivative with respect to the input computes.

    Args: as for ``ConvTranspose1d``; sizes may be one int, or one for each dimension.

    Shape:
        ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``; weight
        ``(in_channels, out_channels / groups, *kernel_size)``.

    Raises:
        ValueError: another padding mode, or groups that do not divide the channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _pair(kernel_size), _pair(stride), _pair(padding), _pair(dilation),
            True, _pair(output_padding), groups, bias, padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Convolve; ``output_size`` picks among the sizes that a strided convolution maps to the input's."""
        return self._transposed(F.conv_transpose2d, 2, input, output_size)


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of ``Conv3d``: what its derivative with respect to the input computes.

    Args: as for ``ConvTranspose1d``; sizes may be one int, or one for each dimension.

    Shape:
        ``(N, in_channels, D, H, W)`` or ``(in_channels, D, H, W)``; weight
        ``(in_channels, out_channels / groups, *kernel_size)``.

    Raises:
        ValueError: another padding mode, or groups that do not divide the channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, _triple(kernel_size), _triple(stride), _triple(padding), _triple(dilation),
            True, _triple(output_padding), groups, bias, padding_mode, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Convolve; ``output_size`` picks among the sizes that a strided convolution maps to the input's."""
        return self._transposed(F.conv_transpose3d, 3, input, output_size)


class _LazyConvXdMixin(LazyModuleMixin):
    """The form of a convolution that takes ``in_channels`` from the first input."""

    groups: int
    transposed: bool
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    weight: Any
    bias: Any

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__(
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device=device, dtype=dtype
        )
        self._wait(out_channels, bias, device, dtype)

    def _wait(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """As for the ordinary form, once the sizes are known."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Take ``in_channels`` from the first input.

        Raises:
            ValueError: groups that do not divide the channels.
            AssertionError: only one of weight and bias waits for its shape.
        """
        if not self.has_uninitialized_params():
            if self.in_channels == 0:  # the shapes came from a state dict
                self.in_channels = self._get_in_channels(input)
            return
        self.in_channels = self._get_in_channels(input)
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        inner, outer = self.in_channels, self.out_channels
        channels = (inner, outer // self.groups) if self.transposed else (outer, inner // self.groups)
        for name, shape in (("weight", (*channels, *self.kernel_size)), ("bias", (outer,))):
            tensor = getattr(self, name)
            if tensor is None and name == "bias":
                continue
            if not isinstance(tensor, UninitializedParameter):
                raise AssertionError(f"self.{name} must be an UninitializedParameter")
            with no_grad():
                tensor.materialize(shape)
        self.reset_parameters()

    def _get_in_channels(self, input: Tensor) -> int:
        dims = self._get_num_spatial_dims()
        if input.dim() not in (dims + 1, dims + 2):
            raise RuntimeError(
                f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {self.__class__.__name__}, but "
                f"got input of size: {input.shape}"
            )
        return input.shape[-dims - 1]

    def _get_num_spatial_dims(self) -> int:
        return len(self.kernel_size)


class _LazyConvTransposeXdMixin(_LazyConvXdMixin):
    """The same, with the arguments in the order of the transposed convolutions."""

    def __init__(
        self, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
        groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", device=None, dtype=None,
    ) -> None:  # fmt: skip
        LazyModuleMixin.__init__(
            self, 0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._wait(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConvXdMixin, Conv1d):  # type: ignore[misc]
    """A ``Conv1d`` that takes ``in_channels`` from the first input.

    Args: as for ``Conv1d``, without ``in_channels``.

    Shape: as ``Conv1d``.
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvXdMixin, Conv2d):  # type: ignore[misc]
    """A ``Conv2d`` that takes ``in_channels`` from the first input.

    Args: as for ``Conv1d``, without ``in_channels``.

    Shape: as ``Conv2d``.
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvXdMixin, Conv3d):  # type: ignore[misc]
    """A ``Conv3d`` that takes ``in_channels`` from the first input.

    Args: as for ``Conv1d``, without ``in_channels``.

    Shape: as ``Conv3d``.
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTransposeXdMixin, ConvTranspose1d):  # type: ignore[misc]
    """A ``ConvTranspose1d`` that takes ``in_channels`` from the first input.

    Args: as for ``ConvTranspose1d``, without ``in_channels``.

    Shape: as ``ConvTranspose1d``.
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeXdMixin, ConvTranspose2d):  # type: ignore[misc]
    """A ``ConvTranspose2d`` that takes ``in_channels`` from the first input.

    Args: as for ``ConvTranspose1d``, without ``in_channels``.

    Shape: as ``ConvTranspose2d``.
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeXdMixin, ConvTranspose3d):  # type: ignore[misc]
    """A ``ConvTranspose3d`` that takes ``in_channels`` from the first input.

    Args: as for ``ConvTranspose1d``, without ``in_channels``.

    Shape: as ``ConvTranspose3d``.
    """

    cls_to_become = ConvTranspose3d


__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LazyConv1d", "LazyConv2d",
    "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d",
]  # fmt: skip
