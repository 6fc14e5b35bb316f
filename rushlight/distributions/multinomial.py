"""Owns ``Multinomial``. May import ``Categorical``, ``Binomial``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor
from ..ops.creation import ones_like, tensor
from . import constraints
from .binomial import Binomial
from .categorical import Categorical
from .distribution import _NONE, Distribution
from .utils import broadcast_all, choose


class Multinomial(Distribution):
    """How often each outcome comes up in ``total_count`` trials.

    Args:
        total_count: how many trials.
        probs: the probabilities of the outcomes, which are divided by their sum; or
        logits: the logarithms of these.
        validate_args: check parameters and samples.

    Raises:
        NotImplementedError: ``total_count`` is not one number.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    total_count: int
    _tensors = ("_categorical",)
    _same = ("total_count",)

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    probs = property(lambda self: self._categorical.probs)
    logits = property(lambda self: self._categorical.logits)
    param_shape = property(lambda self: self._categorical.param_shape)
    mean = property(lambda self: self.probs * self.total_count)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        sample_shape = dtypes.Size(sample_shape)
        drawn = self._categorical.sample(dtypes.Size((self.total_count, *sample_shape))).movedim(0, -1)
        counts = drawn.new_zeros(self._extended_shape(sample_shape))
        return counts.scatter_add_(-1, drawn, ones_like(drawn)).type_as(self.probs)

    def entropy(self) -> Tensor:
        n = tensor(float(self.total_count), dtype=self.probs.dtype, device=self.probs.device)
        support = self._binomial.enumerate_support(expand=False)[1:]
        chance = self._binomial.log_prob(support).exp()
        spread = (chance * (support + 1).lgamma()).sum([0, -1])
        return n * self._categorical.entropy() - (n + 1).lgamma() + spread

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        logits, value = broadcast_all(self.logits, value)
        # An impossible outcome that did not come up changes nothing.
        powers = (choose((value == 0) & (logits == -math.inf), 0.0, logits) * value).sum(-1)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + powers


__all__ = ["Multinomial"]
