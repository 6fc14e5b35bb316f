"""Owns ``ExponentialFamily``: distributions whose entropy follows from their log-normaliser.

May import autograd and ``Distribution``.
"""

from __future__ import annotations

from typing import Any

from .._tensor.tensor import Tensor
from ..autograd import grad
from .distribution import Distribution, _absent


class ExponentialFamily(Distribution):
    """Densities ``exp(t(x) * theta - F(theta) + k(x))``; subclasses give theta, F and the mean of k."""

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise self._missing("_natural_params")

    def _log_normalizer(self, *natural_params: Any) -> Any:
        raise self._missing("_log_normalizer")

    _mean_carrier_measure: Any = _absent("_mean_carrier_measure", "The mean of k.")

    def entropy(self) -> Tensor:
        """``F(theta) - theta * F'(theta)``, less the mean of k (Nielsen & Nock 2010)."""
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        slopes = grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for p, slope in zip(params, slopes):
            result = result - (p * slope).reshape((*self._batch_shape, -1)).sum(-1)
        return result


__all__ = ["ExponentialFamily"]
