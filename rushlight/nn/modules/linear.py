"""Owns the affine layers: ``Identity``, ``Linear``, ``Bilinear`` and ``LazyLinear``.

May import Module, Parameter, init and nn.functional.
"""

from __future__ import annotations

import math
from typing import Any

from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import UninitializedParameter
from ._make import parameter
from .lazy import LazyModuleMixin
from .module import Module


class Identity(Module):
    """Gives back its input.

    Args:
        args, kwargs: accepted and unused, so that it can stand in for any layer.

    Example:
        >>> Identity(54, unused=True)
        Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input."""
        return input


class Linear(Module):
    """``input @ weight.T + bias``.

    Args:
        in_features, out_features: sizes of the last dimension of input and output.
        bias: whether to add one.
        device, dtype: of the parameters.

    Shape:
        ``(*, in_features)`` to ``(*, out_features)``; weight ``(out_features, in_features)``, bias ``(out_features,)``.

    Example:
        >>> import rushlight as torch
        >>> Linear(20, 30)(torch.zeros(128, 20)).shape
        torch.Size([128, 30])
    """

    __constants__ = ["in_features", "out_features"]
    in_features: int
    out_features: int
    weight: Tensor
    bias: Any

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = parameter((out_features, in_features), device, dtype)
        if bias:
            self.bias = parameter(out_features, device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly within ``1 / sqrt(in_features)`` of zero."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """Map the last dimension."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class NonDynamicallyQuantizableLinear(Linear):
    """The ``Linear`` inside attention; a class of its own so that quantization can leave it alone."""


class Bilinear(Module):
    """``x1 @ weight[k] @ x2 + bias[k]`` for every output ``k``.

    Args:
        in1_features, in2_features, out_features: sizes of the last dimensions.
        bias: whether to add one.
        device, dtype: of the parameters.

    Shape:
        ``(*, in1_features)`` and ``(*, in2_features)`` to ``(*, out_features)``; weight
        ``(out_features, in1_features, in2_features)``, bias ``(out_features,)``.

    Raises:
        ValueError: ``in1_features`` is not positive.

    Example:
        >>> import rushlight as torch
        >>> Bilinear(2, 3, 4)(torch.zeros(5, 2), torch.zeros(5, 3)).shape
        torch.Size([5, 4])
    """

    __constants__ = ["in1_features", "in2_features", "out_features"]
    in1_features: int
    in2_features: int
    out_features: int
    weight: Tensor
    bias: Any

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ) -> None:
        super().__init__()
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = parameter((out_features, in1_features, in2_features), device, dtype)
        if bias:
            self.bias = parameter(out_features, device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly within ``1 / sqrt(in1_features)`` of zero."""
        if self.in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={self.in1_features})")
        bound = 1 / math.sqrt(self.weight.size(1))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Combine the last dimensions."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """A ``Linear`` that takes ``in_features`` from the first input.

    Args:
        out_features: size of the last dimension of the output.
        bias, device, dtype: as for ``Linear``.

    Shape: as ``Linear``.

    Example:
        >>> import rushlight as torch
        >>> layer = LazyLinear(3)
        >>> layer(torch.zeros(2, 5)).shape, layer.in_features
        (torch.Size([2, 3]), 5)
    """

    cls_to_become = Linear
    weight: Any

    def __init__(self, out_features: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """As for ``Linear``, once the sizes are known."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        """Take the sizes from the first input.

        Raises:
            AssertionError: a loaded weight has another size.
        """
        inner = input.shape[-1]
        if self.has_uninitialized_params():
            with no_grad():
                self.in_features = inner
                self.weight.materialize((self.out_features, inner))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
        if self.in_features == 0:
            if inner != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {inner} is not equal to in_features from self.weight: "
                    f"{self.weight.shape[-1]}"
                )
            self.in_features = inner


__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]
