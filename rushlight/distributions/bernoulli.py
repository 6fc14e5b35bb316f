"""Owns ``Bernoulli``. May import exp_family, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.creation import arange
from ..ops.nn_loss import binary_cross_entropy_with_logits
from ..ops.random import bernoulli
from . import constraints
from ._odds import Odds, counted
from .distribution import _NONE
from .exp_family import ExponentialFamily
from .utils import broadcast_all, choose


class Bernoulli(Odds, ExponentialFamily):
    """Ones with probability ``probs``, else zeros.

    Args:
        probs: the probability of a one; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, or neither.

    Example:
        >>> import rushlight as torch
        >>> Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(1.0))
        tensor(-0.6931)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0
    _tensors = ("probs", "logits", "_param")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._take(probs, logits)
        super().__init__(self._param.size(), validate_args=validate_args)

    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    @property
    def mode(self) -> Any:
        return choose(self.probs == 0.5, math.nan, (self.probs >= 0.5).to(self.probs))

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return counted(arange(2, dtype=self._param.dtype, device=self._param.device), self._batch_shape, expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.probs.logit(),)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return x.exp().log1p()


__all__ = ["Bernoulli"]
