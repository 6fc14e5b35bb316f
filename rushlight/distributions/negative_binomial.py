"""Owns ``NegativeBinomial``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

from typing import Any

from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..nn.functional import logsigmoid
from ..ops.random import poisson
from . import constraints
from ._odds import Odds
from .distribution import _NONE, Distribution
from .gamma import Gamma


class NegativeBinomial(Odds, Distribution):
    """How many trials succeed before ``total_count`` have failed.

    Args:
        total_count: how many failures end it; any positive number, or 0.
        probs: the probability of success; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, or neither.

    Example:
        >>> import rushlight as torch
        >>> torch.distributions.NegativeBinomial(3.0, probs=torch.tensor(0.5)).mean
        tensor(3.)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer
    _tensors = ("total_count", "probs", "logits", "_param")

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (total_count,) = self._take(probs, logits, total_count)
        self.total_count = total_count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    mean = property(lambda self: self.total_count * self.logits.exp())
    variance = property(lambda self: self.mean / (-self.logits).sigmoid())

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        with no_grad():
            # The rate of the Poisson draw is not checked: a count of 0 makes it 0.
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return poisson(rates.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        n, logits = self.total_count, self.logits
        choices = (n + value).lgamma() - (1.0 + value).lgamma() - n.lgamma()
        # No trials at all is certain where the count is 0, and lgamma(0) infinite.
        choices = choices.masked_fill(n + value == 0.0, 0.0)
        return n * logsigmoid(-logits) + value * logsigmoid(logits) + choices


__all__ = ["NegativeBinomial"]
