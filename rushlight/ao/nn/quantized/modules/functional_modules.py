"""Owns ``FloatFunctional``: operators as a module's methods, so that quantization could watch what they give.

May import nn and the operators.
"""

from __future__ import annotations

from typing import Any

from ....._tensor.tensor import Tensor
from .....nn import Identity, Module
from .....nn.functional import relu
from .....ops.join import cat
from .....ops.pointwise import add, mul
from .....ops.products import matmul


class FloatFunctional(Module):
    """Sums, products and joins of tensors, each followed by ``activation_post_process``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.quantized.FloatFunctional().add(torch.ones(2), torch.ones(2))
        tensor([2., 2.])
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, x: Any) -> Any:
        """Refused: the methods are called, not the module.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + y`` of two tensors."""
        return self.activation_post_process(add(x, y))

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """``x + y`` with a number; nothing follows."""
        return add(x, y)

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """``x * y`` of two tensors."""
        return self.activation_post_process(mul(x, y))

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """``x * y`` with a number; nothing follows."""
        return mul(x, y)

    def cat(self, x: list[Tensor], dim: int = 0) -> Tensor:
        """Tensors joined along ``dim``."""
        return self.activation_post_process(cat(x, dim=dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """``relu(x + y)``."""
        return self.activation_post_process(relu(add(x, y)))

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """The matrix product."""
        return self.activation_post_process(matmul(x, y))


__all__ = ["FloatFunctional"]
