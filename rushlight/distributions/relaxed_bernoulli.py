"""Owns ``LogitRelaxedBernoulli`` and ``RelaxedBernoulli``.

May import ``Distribution``, ``TransformedDistribution``, constraints and the operators.
"""

from __future__ import annotations

from typing import Any

from .._tensor.tensor import Tensor
from ..ops.random import rand
from . import constraints
from ._odds import Odds
from .distribution import _NONE, Distribution
from .transformed_distribution import TransformedDistribution
from .transforms import SigmoidTransform
from .utils import broadcast_all, clamp_probs


class LogitRelaxedBernoulli(Odds, Distribution):
    """The logits of ``RelaxedBernoulli`` (Maddison et al. 2017).

    Args:
        temperature: a tensor; 0 would be zeros and ones.
        probs: the probability of a one; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, or neither.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True
    _tensors = ("probs", "logits", "_param")
    _same = ("temperature",)

    def __init__(
        self, temperature: Tensor, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take(probs, logits)
        self.temperature = temperature
        super().__init__(self._param.size(), validate_args=validate_args)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(rand(shape, dtype=probs.dtype, device=probs.device))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        difference = logits - value * self.temperature
        return self.temperature.log() + difference - 2 * difference.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Numbers near zero and one, with gradients (Jang et al. 2017, Maddison et al. 2017).

    Args:
        temperature: a tensor; 0 would be zeros and ones.
        probs: the probability of a one; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, temperature: Tensor, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(RelaxedBernoulli, _instance))

    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs = property(lambda self: self.base_dist.probs)


__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]
