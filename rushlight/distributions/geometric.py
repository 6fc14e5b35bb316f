"""Owns ``Geometric``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.nn_loss import binary_cross_entropy_with_logits
from . import constraints
from ._odds import Odds
from .distribution import _NONE, Distribution, _all_true
from .utils import broadcast_all, choose


class Geometric(Odds, Distribution):
    """How many trials fail before the first success.

    Args:
        probs: the probability of success; or
        logits: the logarithm of its odds.
        validate_args: check parameters and samples.

    Raises:
        ValueError: both, or neither; or a probability of zero.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    _tensors = ("probs", "logits", "_param")

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._take(probs, logits)
        super().__init__(self._param.size(), validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self._param
            if not _all_true(value > 0):
                raise ValueError(
                    f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to be positive but found invalid values:\n{value.data[~(value > 0)]}"
                )

    mean = property(lambda self: 1.0 / self.probs - 1.0)
    mode = property(lambda self: self.probs * 0)
    variance = property(lambda self: (1.0 / self.probs - 1.0) / self.probs)

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        tiny = dtypes.finfo(self.probs.dtype).tiny
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        value, probs = broadcast_all(value, self.probs)
        certain = choose((probs == 1) & (value == 0), 0.0, probs)
        return value * (-certain).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs


__all__ = ["Geometric"]
