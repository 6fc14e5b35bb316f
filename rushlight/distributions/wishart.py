"""Owns ``Wishart``. May import exp_family, ``Chi2``, constraints and the operators."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor
from ..ops.creation import arange, tensor
from ..ops.diagonals import diag_embed
from ..ops.linalg_factor import cholesky_solve
from ..ops.linalg_solve import slogdet
from ..ops.special import mvlgamma
from ..ops.strided import broadcast_shapes
from . import constraints
from .chi2 import Chi2
from .distribution import _NONE
from .exp_family import ExponentialFamily
from .multivariate_normal import OneOfThree
from .utils import choose, standard_normal, vec_to_tril_matrix

_LOG_2 = math.log(2)


class Wishart(OneOfThree, ExponentialFamily):
    """The distribution of ``df`` times the sample covariance of normal vectors.

    Args:
        df: the degrees of freedom; more than the size of the matrices minus one.
        covariance_matrix, precision_matrix, scale_tril: one of the covariance, its inverse, and its Cholesky factor.
        validate_args: check parameters and samples.

    Raises:
        AssertionError: none or several of the three.
        ValueError: too few dimensions or degrees of freedom.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self) -> dict:
        return {
            "covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1),
        }  # fmt: skip

    def __init__(
        self, df: Any, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name, matrix = self._one(
            AssertionError, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )  # fmt: skip
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        size = matrix.shape[-1]
        if isinstance(df, Tensor):
            batch_shape = broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        else:
            batch_shape = matrix.shape[:-2]
            self.df = tensor(df, dtype=matrix.dtype, device=matrix.device)
        if bool((self.df <= size - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {size - 1}.")
        setattr(self, name, matrix.expand((*batch_shape, -1, -1)))
        if bool((self.df < size).any()):
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        self._factor(name, matrix)
        self._dist_chi2 = self._chi2()

    def _chi2(self) -> Chi2:
        """What the squares on the diagonal are drawn from."""
        lower = self._unbroadcasted_scale_tril
        steps = arange(self._event_shape[-1], dtype=lower.dtype, device=lower.device)
        return Chi2(self.df.unsqueeze(-1) - steps.expand((*self._batch_shape, -1)))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Wishart, _instance)
        shape = (*batch_shape, *self.event_shape)
        new.df = self.df.expand(tuple(batch_shape))
        for name in ("_unbroadcasted_scale_tril", "covariance_matrix", "scale_tril", "precision_matrix"):
            if name in self.__dict__:
                setattr(new, name, getattr(self, name).expand(shape))
        ExponentialFamily.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        new._dist_chi2 = new._chi2()
        return new

    mean = property(lambda self: self.df[..., None, None] * self.covariance_matrix)

    @property
    def mode(self) -> Any:
        factor = self.df - self._event_shape[-1] - 1
        return choose(factor <= 0, math.nan, factor)[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Any:
        matrix = self.covariance_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (matrix.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape: Any = _NONE) -> Tensor:
        """A random lower triangle times its transpose, stretched by the scale (Bartlett 1933)."""
        size = self._event_shape[-1]
        diagonal = self._dist_chi2.rsample(sample_shape).sqrt()
        lower = diag_embed(diagonal.clamp(min=dtypes.finfo(diagonal.dtype).eps))
        below = standard_normal((*sample_shape, *self._batch_shape, size * (size - 1) // 2), diagonal)
        if size > 1:
            lower = lower + vec_to_tril_matrix(below, -1)
        chol = self._unbroadcasted_scale_tril @ lower
        return chol @ chol.mT

    def rsample(self, sample_shape: Any = _NONE, max_try_correction: int | None = None) -> Tensor:
        """Draw matrices.

        Args:
            sample_shape: of the draws.
            max_try_correction: how often to draw again where a matrix came out singular; default: 10.
        """
        sample_shape = dtypes.Size(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        singular = self._singular(sample)
        if not bool(singular.any()):
            return sample
        warnings.warn("Singular sample detected.", stacklevel=2)
        for _ in range(10 if max_try_correction is None else max_try_correction):
            again = self._bartlett_sampling(sample_shape)
            sample = choose(
                singular.reshape((*singular.shape, *(1 for _ in sample.shape[singular.dim() :]))), again, sample
            )
            singular = self._singular(sample)
            if not bool(singular.any()):
                break
        return sample

    def _singular(self, sample: Tensor) -> Tensor:
        found = ~self.support.check(sample)
        return found.flatten(found.dim() - len(self._batch_shape)).any(-1) if self._batch_shape else found

    def _half_log_det(self) -> Tensor:
        size = self._event_shape[-1]
        return size * _LOG_2 / 2 + self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        nu, size = self.df, self._event_shape[-1]
        trace = cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
        found = -nu * self._half_log_det() - mvlgamma(nu / 2, size)
        return found + (nu - size - 1) / 2 * slogdet(value)[1] - trace / 2

    def entropy(self) -> Tensor:
        nu, size = self.df, self._event_shape[-1]
        halves = arange(size, dtype=nu.dtype, device=nu.device) / 2
        slope = ((nu / 2).unsqueeze(-1) - halves).digamma().sum(-1)
        found = (size + 1) * self._half_log_det() + mvlgamma(nu / 2, size)
        return found - (nu - size - 1) / 2 * slope + nu * size / 2

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        size = self._event_shape[-1]
        half = y + (size + 1) / 2
        return half * (-slogdet(-2 * x)[1] + _LOG_2 * size) + mvlgamma(half, size)


__all__ = ["Wishart"]
