"""Owns ``FisherSnedecor``. May import ``Gamma``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor
from . import constraints
from .distribution import _NONE, Distribution
from .gamma import Gamma
from .utils import broadcast_all, choose


class FisherSnedecor(Distribution):
    """The F distribution: the ratio of two scaled chi-squared numbers.

    Args:
        df1, df2: their degrees of freedom.
        validate_args: check parameters and samples.
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    _tensors = ("df1", "df2", "_gamma1", "_gamma2")

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1 = Gamma(self.df1 * 0.5, self.df1)
        self._gamma2 = Gamma(self.df2 * 0.5, self.df2)
        super().__init__(self.df1.size(), validate_args=validate_args)

    @property
    def mean(self) -> Any:
        return choose(self.df2 <= 2, math.nan, self.df2 / (self.df2 - 2))

    @property
    def mode(self) -> Any:
        return choose(self.df1 <= 2, math.nan, (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2))

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2
        return choose(b <= 4, math.nan, 2 * b.pow(2) * (a + b - 2) / (a * (b - 2).pow(2) * (b - 4)))

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        shape = self._extended_shape(sample_shape)
        above = self._gamma1.rsample(sample_shape).view(shape)
        tiny = dtypes.finfo(above.dtype).tiny
        below = self._gamma2.rsample(sample_shape).view(shape).clamp(min=tiny)
        return (above / below).clamp(min=tiny)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        constant = (a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log()
        return constant + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


__all__ = ["FisherSnedecor"]
