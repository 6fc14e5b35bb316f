"""Owns ``GeneralizedPareto``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.compare import isclose
from ..ops.creation import zeros_like
from ..ops.random import rand
from . import constraints
from .distribution import _NONE, Distribution
from .utils import broadcast_all, choose


class GeneralizedPareto(Distribution):
    """What lies above a high threshold; the exponential distribution at concentration 0, the uniform one at -1.

    Args:
        loc: the threshold.
        scale: the spread.
        concentration: how heavy the tail is.
        validate_args: check parameters and samples.
    """

    arg_constraints = {
        "loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real,
    }  # fmt: skip
    has_rsample = True
    _tensors = ("loc", "scale", "concentration")

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def _region(self) -> Any:
        low, c = self.loc, self.concentration
        high = choose(c < 0, low - self.scale / choose(c < 0, c, -1.0), math.inf)
        return _Between(low, high)

    support: Any = constraints.dependent_property(is_discrete=False, event_dim=0)(_region)

    def _shape(self) -> tuple[Tensor, Tensor]:
        """Whether the concentration is zero, and a concentration that can be divided by."""
        zero = isclose(self.concentration, zeros_like(self.concentration))
        return zero, choose(zero, 1.0, self.concentration)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        z = (value - self.loc) / self.scale
        zero, c = self._shape()
        power = 1 / c + 1
        return -self.scale.log() - choose(zero, z, choose(power == 0, power, power * (c * z).log1p()))

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of one minus ``cdf``."""
        self._checked(value)
        z = (value - self.loc) / self.scale
        zero, c = self._shape()
        return choose(zero, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of ``cdf``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        zero, c = self._shape()
        u = (-value).log1p()
        return choose(zero, self.loc - self.scale * u, self.loc + self.scale / c * (-c * u).expm1())

    @property
    def mean(self) -> Any:
        c = self.concentration
        return choose(c < 1, self.loc + self.scale / (1 - choose(c < 1, c, 0.5)), math.nan)

    @property
    def variance(self) -> Any:
        c = choose(self.concentration < 0.5, self.concentration, 0.25)
        return choose(self.concentration < 0.5, self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c)), math.nan)

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1

    @property
    def mode(self) -> Any:
        return self.loc


class _Between(constraints.Constraint):
    """From the threshold up, to an end where there is one."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        super().__init__()

    def check(self, value: Any) -> Any:
        return (self.lower_bound <= value) & (value <= self.upper_bound)


__all__ = ["GeneralizedPareto"]
