"""Owns what distributions given by ``probs`` or ``logits`` share.

May import ``utils``.
"""

from __future__ import annotations

from typing import Any

from .._tensor.tensor import Tensor
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits


def one_of(probs: Any, logits: Any) -> None:
    """Refuse both, and neither.

    Raises:
        ValueError: one has to be given.
    """
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


class Odds:
    """Two names for one parameter, each computed from the other when asked for.

    Attributes:
        _is_binary: logits are those of odds, not of several outcomes.
    """

    _is_binary = True
    _param: Any

    @lazy_property
    def logits(self) -> Tensor:
        """The logarithms of the odds, or of the probabilities."""
        return probs_to_logits(self.probs, self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """The probabilities."""
        return logits_to_probs(self.logits, self._is_binary)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter."""
        return self._param.size()

    def _take(self, probs: Any, logits: Any, *others: Any) -> list:
        """Keep the one that is given, broadcast with others; gives these.

        Raises:
            ValueError: both are given, or neither.
        """
        one_of(probs, logits)
        name, given = ("logits", logits) if probs is None else ("probs", probs)
        *kept, self._param = broadcast_all(*others, given)
        setattr(self, name, self._param)
        return kept

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)


def counted(values: Tensor, batch_shape: Any, expand: bool) -> Tensor:
    """The values of ``enumerate_support``: in a first dimension, over the batch where wanted."""
    values = values.view((-1,) + (1,) * len(batch_shape))
    return values.expand((-1, *batch_shape)) if expand else values
