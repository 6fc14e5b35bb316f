"""Owns ``ContinuousBernoulli``. May import exp_family, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.nn_loss import binary_cross_entropy_with_logits
from ..ops.random import rand
from . import constraints
from ._odds import Odds, one_of
from .distribution import _NONE
from .exp_family import ExponentialFamily
from .utils import broadcast_all, choose, clamp_probs, lazy_property, logits_to_probs


class ContinuousBernoulli(Odds, ExponentialFamily):
    """Numbers between 0 and 1 with density ``probs**x * (1 - probs)**(1 - x)`` (Loaiza-Ganem and Cunningham 2019).

    Args:
        probs: between 0 and 1; no probability, in spite of the name; or
        logits: of these.
        lims: between these values of ``probs``, where the formulas lose their digits, their Taylor series is used.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, neither, or values out of range.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _tensors = ("probs", "logits", "_param")
    _same = ("_lims",)

    def __init__(
        self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        one_of(probs, logits)
        if probs is not None:
            (probs,) = broadcast_all(probs)
            if validate_args is not None and not bool(constraints.unit_interval.check(probs).all()):
                raise ValueError("The parameter probs has invalid values")
            self._param = clamp_probs(probs)
            self.__dict__["probs"] = self._param
        else:
            (self.logits,) = (self._param,) = broadcast_all(logits)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        """The parameter."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _far(self) -> Tensor:
        """Where the formulas hold."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _safe(self) -> Tensor:
        return choose(self._far(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self) -> Tensor:
        """The logarithm of the factor that makes the density one."""
        p = self._safe()
        below, above = choose(p <= 0.5, p, 0.0), choose(p >= 0.5, p, 1.0)
        of_width = choose(p <= 0.5, (-2.0 * below).log1p(), (2.0 * above - 1.0).log())
        found = ((-p).log1p() - p.log()).abs().log() - of_width
        x = (self.probs - 0.5).pow(2)
        return choose(self._far(), found, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Any:
        p = self._safe()
        found = p / (2.0 * p - 1.0) + 1.0 / ((-p).log1p() - p.log())
        x = self.probs - 0.5
        return choose(self._far(), found, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def variance(self) -> Any:
        p = self._safe()
        found = p * (p - 1.0) / (1.0 - 2.0 * p).pow(2) + 1.0 / ((-p).log1p() - p.log()).pow(2)
        x = (self.probs - 0.5).pow(2)
        return choose(self._far(), found, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        self._checked(value)
        p = self._safe()
        found = (p.pow(value) * (1.0 - p).pow(1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        found = choose(self._far(), found, value)
        return choose(value <= 0.0, 0.0, choose(value >= 1.0, 1.0, found))

    def icdf(self, value: Tensor) -> Tensor:
        p = self._safe()
        found = ((-p + value * (2.0 * p - 1.0)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return choose(self._far(), found, value)

    def entropy(self) -> Tensor:
        zero, one = (-self.probs).log1p(), self.probs.log()
        return self.mean * (zero - one) - self._cont_bern_log_norm() - zero

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        far = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        safe = choose(far, x, self._lims[0] - 0.5)
        found = safe.expm1().abs().log() - safe.abs().log()
        return choose(far, found, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)


__all__ = ["ContinuousBernoulli"]
