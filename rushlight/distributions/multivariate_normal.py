"""Owns ``MultivariateNormal``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.creation import eye
from ..ops.linalg_factor import cholesky, cholesky_inverse
from ..ops.linalg_solve import solve_triangular
from ..ops.strided import broadcast_shapes
from . import constraints
from .distribution import _NONE, Distribution
from .utils import lazy_property, standard_normal


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """The product of matrices and vectors."""
    return (bmat @ bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(lower: Tensor, x: Tensor) -> Tensor:
    """``x @ inverse(lower @ lower.T) @ x``, for broadcasting batches."""
    shape = broadcast_shapes(lower.shape[:-2], x.shape[:-1])
    n = x.shape[-1]
    solved = solve_triangular(lower.expand((*shape, n, n)), x.expand((*shape, n)).unsqueeze(-1), upper=False)
    return solved.pow(2).sum(-2).squeeze(-1)


def _precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse, without inverting: turned around, factored, turned back and solved."""
    factor = cholesky(precision.flip((-2, -1))).flip((-2, -1)).transpose(-2, -1)
    one = eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return solve_triangular(factor, one, upper=False)


class OneOfThree:
    """A covariance, its inverse or its Cholesky factor; the other two are computed when asked for."""

    _batch_shape: Any
    _unbroadcasted_scale_tril: Tensor

    @staticmethod
    def _one(refuse: type[Exception], **given: Tensor | None) -> tuple[str, Tensor]:
        """The name of the one that is given, and the matrix."""
        chosen = [(name, matrix) for name, matrix in given.items() if matrix is not None]
        if len(chosen) != 1:
            raise refuse("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        return chosen[0]

    def _factor(self, name: str, matrix: Tensor) -> None:
        factor = {"covariance_matrix": cholesky, "precision_matrix": _precision_to_scale_tril}.get(name)
        self._unbroadcasted_scale_tril = matrix if factor is None else factor(matrix)

    def _spread(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *matrix.shape[-2:]))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return self._spread(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self._spread(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self._spread(cholesky_inverse(self._unbroadcasted_scale_tril))


class MultivariateNormal(OneOfThree, Distribution):
    """The normal distribution of vectors.

    Args:
        loc: the mean.
        covariance_matrix, precision_matrix, scale_tril: one of the covariance, its inverse, and its Cholesky factor.
        validate_args: check parameters and samples.

    Shape:
        loc ``(*, n)``, matrices ``(*, n, n)``.

    Raises:
        ValueError: none or several of the three, or too few dimensions.

    Example:
        >>> import rushlight as torch
        >>> MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _tensors = ("loc", "covariance_matrix", "precision_matrix", "scale_tril")
    _same = ("_unbroadcasted_scale_tril",)

    def __init__(
        self, loc: Tensor, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = self._one(
            ValueError, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril
        )
        if matrix.dim() < 2:
            what = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{what} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._factor(name, matrix)

    mean = mode = property(lambda self: self.loc)

    @property
    def variance(self) -> Any:
        found = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return found.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        eps = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, eps)

    def _half_log_det(self) -> Tensor:
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        distance = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self) -> Tensor:
        found = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return found.expand(self._batch_shape) if len(self._batch_shape) else found


__all__ = ["MultivariateNormal"]
