"""Owns ``LowRankMultivariateNormal``. May import ``MultivariateNormal``'s helpers, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.creation import eye
from ..ops.diagonals import diag_embed
from ..ops.linalg_factor import cholesky
from ..ops.linalg_solve import solve_triangular
from ..ops.strided import broadcast_tensors
from . import constraints
from .distribution import _NONE, Distribution
from .multivariate_normal import _batch_mahalanobis, _batch_mv
from .utils import lazy_property, standard_normal


def _plus_one(matrix: Tensor) -> Tensor:
    return matrix + eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with covariance ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Determinants and inverses are those of the small matrix ``1 + cov_factor.T / cov_diag @ cov_factor``.

    Args:
        loc: the mean.
        cov_factor: the narrow part of the covariance.
        cov_diag: its diagonal part.
        validate_args: check parameters and samples.

    Shape:
        loc and cov_diag ``(*, n)``, cov_factor ``(*, n, rank)``.

    Raises:
        ValueError: shapes that do not fit.
    """

    arg_constraints = {
        "loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }  # fmt: skip
    support = constraints.real_vector
    has_rsample = True
    _tensors = ("loc", "cov_factor", "cov_diag")
    _same = ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:  # fmt: skip
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            mean, self.cov_factor, diagonal = broadcast_tensors(loc.unsqueeze(-1), cov_factor, cov_diag.unsqueeze(-1))
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc, self.cov_diag = mean[..., 0], diagonal[..., 0]
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = cholesky(_plus_one(self._scaled() @ cov_factor))
        super().__init__(self.loc.shape[:-1], event_shape, validate_args=validate_args)

    def _scaled(self) -> Tensor:
        return self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)

    def _spread(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    mean = mode = property(lambda self: self.loc)

    @lazy_property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        found = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return found.expand((*self._batch_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance, taken where the diagonal is one."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        narrow = self._unbroadcasted_cov_factor / root
        return self._spread(root * cholesky(_plus_one(narrow @ narrow.mT)))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        factor = self._unbroadcasted_cov_factor
        return self._spread(factor @ factor.mT + diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance, by Woodbury's identity."""
        a = solve_triangular(self._capacitance_tril, self._scaled(), upper=False)
        return self._spread(diag_embed(self._unbroadcasted_cov_diag.reciprocal()) - a.mT @ a)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        narrow = standard_normal((*shape[:-1], self.cov_factor.shape[-1]), self.loc)
        wide = standard_normal(shape, self.loc)
        return self.loc + _batch_mv(self._unbroadcasted_cov_factor, narrow) + self._unbroadcasted_cov_diag.sqrt() * wide

    def _log_det(self) -> Tensor:
        small = self._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 2 * small + self._unbroadcasted_cov_diag.log().sum(-1)

    def _distance(self, x: Tensor) -> Tensor:
        """``x @ inverse(covariance) @ x``."""
        near = _batch_mahalanobis(self._capacitance_tril, _batch_mv(self._scaled(), x))
        return (x.pow(2) / self._unbroadcasted_cov_diag).sum(-1) - near

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._log_det() + self._distance(value - self.loc))

    def entropy(self) -> Tensor:
        found = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det())
        return found.expand(self._batch_shape) if len(self._batch_shape) else found


__all__ = ["LowRankMultivariateNormal"]
