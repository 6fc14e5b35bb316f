"""Owns ``Categorical``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor
from ..ops.creation import arange, full
from ..ops.random import multinomial
from ..ops.strided import broadcast_tensors
from . import constraints
from ._odds import Odds, counted, one_of
from .distribution import _NONE, Distribution


class Categorical(Odds, Distribution):
    """One of several outcomes, by its number.

    Args:
        probs: their probabilities, which are divided by their sum; or
        logits: the logarithms of these.
        validate_args: check parameters and samples.

    Shape:
        parameters ``(*, outcomes)``.

    Raises:
        ValueError: both, or neither; or a parameter without dimensions.

    Example:
        >>> import rushlight as torch
        >>> Categorical(torch.tensor([1.0, 3.0])).log_prob(torch.tensor(0))
        tensor(-1.3863)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _is_binary = False
    _tensors = ("probs", "logits", "_param")
    _same = ("_num_events",)

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        one_of(probs, logits)
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.probs = self._param = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = self._param = logits - logits.logsumexp(dim=-1, keepdim=True)
        self._num_events = self._param.size()[-1]
        super().__init__(self._param.size()[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return full(self._extended_shape(), math.nan, dtype=self.probs.dtype, device=self.probs.device)

    variance = mean
    mode = property(lambda self: self.probs.argmax(dim=-1))

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        sample_shape = dtypes.Size(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = multinomial(rows, sample_shape.numel(), True).T
        return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        value, table = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return table.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        least = dtypes.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return counted(arange(self._num_events, device=self._param.device), self._batch_shape, expand)


__all__ = ["Categorical"]
