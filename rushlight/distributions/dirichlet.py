"""Owns ``Dirichlet``. May import exp_family, constraints and the operators."""

from __future__ import annotations

from typing import Any

from .._tensor.tensor import Tensor
from ..ops.nn_embedding import one_hot
from ..ops.sampling import _sample_dirichlet
from . import constraints
from .distribution import _NONE
from .exp_family import ExponentialFamily
from .utils import choose


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution of probabilities.

    Args:
        concentration: the parameters; the last dimension belongs together.
        validate_args: check parameters and samples.

    Raises:
        ValueError: a concentration without dimensions.
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _tensors = ("concentration",)

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        return _sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        a = self.concentration
        return (a - 1.0).xlogy(value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    mean = property(lambda self: self.concentration / self.concentration.sum(-1, True))

    @property
    def mode(self) -> Any:
        less = (self.concentration - 1).clamp(min=0.0)
        mode = less / less.sum(-1, True)
        # Where all parameters are below 1, the mode is a corner.
        corner = one_hot(mode.argmax(dim=-1), less.shape[-1]).to(mode)
        return choose((self.concentration < 1).all(dim=-1, keepdim=True), corner, mode)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self) -> Tensor:
        a, k = self.concentration, self.concentration.size(-1)
        total = a.sum(-1)
        constant = a.lgamma().sum(-1) - total.lgamma()
        return constant - (k - total) * total.digamma() - ((a - 1.0) * a.digamma()).sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return x.lgamma().sum(-1) - x.sum(-1).lgamma()


__all__ = ["Dirichlet"]
