"""Owns parameters as one vector, and back.

May import the operators.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops.join import cat
from ..modules.module import typename


def _check_device(param: Tensor, seen: Any) -> int:
    """The number of the device, which has to be the same for all.

    Raises:
        TypeError: it is not.
    """
    here = param.get_device() if param.device.type == "cuda" else -1
    if seen is not None and here != seen:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return here


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of parameters in one vector.

    Raises:
        TypeError: they are on different devices.

    Example:
        >>> import rushlight as torch
        >>> parameters_to_vector([torch.zeros(2), torch.ones(1, 1)])
        tensor([0., 0., 1.])
    """
    parts, seen = [], None
    for param in parameters:
        seen = _check_device(param, seen)
        parts.append(param.view(-1))
    return cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the contents of parameters to copies of the pieces of a vector.

    Raises:
        TypeError: ``vec`` is not a tensor, or the parameters are on different devices.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    seen, start = None, 0
    for param in parameters:
        seen = _check_device(param, seen)
        count = param.numel()
        param.data = vec.detach()[start : start + count].reshape(param.shape).clone()
        start += count


__all__ = ["parameters_to_vector", "vector_to_parameters"]
