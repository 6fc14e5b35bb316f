"""Owns what distributions share: broadcasting of parameters, probabilities and logits, properties computed once.

May import the tensor cell, modes, dtypes and the operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from .. import dtypes
from .._graph.modes import enable_grad
from .._tensor.tensor import Tensor
from ..ops.creation import arange, empty, tensor
from ..ops.search import where
from ..ops.strided import broadcast_tensors

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> Any:
    """Numbers and tensors as tensors of one shape.

    Raises:
        ValueError: something else.

    Example:
        >>> import rushlight as torch
        >>> broadcast_all(1.0, torch.zeros(2))
        (tensor([1., 1.]), tensor([0., 0.]))
    """
    if not all(isinstance(v, (Tensor, int, float, complex)) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    like = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = dtypes.default_dtype() if like is None else like.dtype
    device = None if like is None else like.device
    made = tuple(v if isinstance(v, Tensor) else tensor(v, dtype=dtype, device=device) for v in values)
    alike = all(v.shape == made[0].shape for v in made)
    return made if alike else broadcast_tensors(*made)


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """Normal numbers in the dtype and on the device of a tensor."""
    return _standard_normal(shape, like.dtype, like.device)


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Normal numbers; torch's own name, which packages import."""
    return empty(tuple(shape), dtype=dtype, device=device).normal_()


def choose(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, else ``b``."""
    return where(condition, a, b)


def _sum_rightmost(value: Any, dim: int) -> Any:
    """The sum over the last ``dim`` dimensions."""
    return value if dim == 0 else value.reshape((*value.shape[:-dim], -1)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from logarithms: of odds where there are two outcomes, else up to a constant."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1 by the dtype's epsilon."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Undo ``logits_to_probs``."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


class lazy_property:
    """A property that is computed once, and then is an ordinary attribute.

    Args:
        wrapped: computes it.
    """

    def __init__(self, wrapped: Callable) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def _lower(n: int, diag: int, device: Any) -> Tensor:
    numbers = arange(n, device=device)
    return numbers < numbers.view(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangle of matrices, row by row.

    Raises:
        ValueError: there is no such diagonal.
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat[..., _lower(n, diag, mat.device)]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Undo ``tril_matrix_to_vec``; zeros elsewhere.

    Raises:
        ValueError: no triangle has so many elements.
    """
    count = vec.shape[-1]
    side = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(side) - side > dtypes.finfo(vec.dtype).eps:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a square "
            "D x D matrix."
        )
    n = round(side)
    mat = vec.new_zeros((*vec.shape[:-1], n, n))
    mat[..., _lower(n, diag, vec.device)] = vec
    return mat


__all__ = [
    "broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits", "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]  # fmt: skip
