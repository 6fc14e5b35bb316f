"""Owns functions of shapes that are tensors, which programs call so that an exported model keeps them open.

May import dtypes, the tensor cell and _errors.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from .._errors import missing_name
from .._tensor.tensor import Tensor


def shape_as_tensor(x: Tensor) -> Tensor:
    """The sizes of a tensor, as a tensor on the CPU.

    Args:
        x: the tensor.

    Example:
        >>> import rushlight as torch
        >>> torch.onnx.operators.shape_as_tensor(torch.ones(2, 3))
        tensor([2, 3])
    """
    return x.new_tensor(list(x.shape), dtype=dtypes.int64, device="cpu")


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    """A tensor in another shape, which is given as a tensor.

    Args:
        x: the tensor.
        shape: the sizes.
    """
    return x.reshape(shape.tolist())


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]
