"""Owns ``Binomial``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

from typing import Any

from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.creation import arange
from ..ops.random import binomial
from . import constraints
from ._odds import Odds, counted
from .distribution import _NONE, Distribution


def _positive_part(x: Tensor) -> Tensor:
    """``max(x, 0)``, with the slope 1/2 at zero."""
    return (x.clamp(min=0) + x - x.clamp(max=0)) / 2


class Binomial(Odds, Distribution):
    """How many of ``total_count`` trials succeed.

    Args:
        total_count: how many trials.
        probs: the probability of success; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, or neither.
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True
    _tensors = ("total_count", "probs", "logits", "_param")

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (total_count,) = self._take(probs, logits, total_count)
        self.total_count = total_count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    mean = property(lambda self: self.total_count * self.probs)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        n, logits = self.total_count, self.logits
        choices = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return value * logits + choices - n * _positive_part(logits) - n * (-logits.abs()).exp().log1p()

    def _one_count(self, name: str) -> int:
        most = int(self.total_count.max())
        if not bool(self.total_count.min() == most):
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{name}`.")
        return most

    def entropy(self) -> Tensor:
        self._one_count("entropy")
        table = self.log_prob(self.enumerate_support(False))
        return -(table.exp() * table).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = self._one_count("enumerate_support")
        values = arange(1 + count, dtype=self._param.dtype, device=self._param.device)
        return counted(values, self._batch_shape, expand)


__all__ = ["Binomial"]
