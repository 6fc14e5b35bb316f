"""Owns ``HalfNormal``, and what it shares with ``HalfCauchy``. May import ``Normal`` and what it is transformed by."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from . import constraints
from .normal import Normal
from .transformed_distribution import TransformedDistribution
from .transforms import AbsTransform
from .utils import choose


class Half(TransformedDistribution):
    """The size of numbers whose distribution is symmetric around zero.

    Args:
        scale: that of the numbers.
        validate_args: check parameters and samples.
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _whole: Any

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(self._whole(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        home = next(c for c in type(self).__mro__ if "_whole" in c.__dict__)
        return super().expand(batch_shape, self._get_checked_instance(home, _instance))

    scale = property(lambda self: self.base_dist.scale)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        return choose(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._checked(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)


class HalfNormal(Half):
    """The size of normal numbers around zero.

    Args:
        scale: their standard deviation.
        validate_args: check parameters and samples.
    """

    _whole = Normal
    mean = property(lambda self: self.scale * math.sqrt(2 / math.pi))
    mode = property(lambda self: self.scale * 0)
    variance = property(lambda self: self.scale.pow(2) * (1 - 2 / math.pi))


__all__ = ["HalfNormal"]
