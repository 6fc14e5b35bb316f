"""Owns ``biject_to`` and ``transform_to``: a transform from free numbers into a region.

May import constraints and transforms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints, transforms


class ConstraintRegistry:
    """Finds the function that makes a transform into a region, by the type of the region.

    Example:
        >>> from rushlight.distributions import biject_to, constraints
        >>> biject_to(constraints.simplex)
        StickBreakingTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type, Callable] = {}

    def register(self, constraint: Any, factory: Callable | None = None) -> Any:
        """Add a function; also a decorator.

        Args:
            constraint: the type of region, or one of it.
            factory: takes a region, gives a transform.

        Raises:
            TypeError: no region.
        """
        if factory is None:
            return lambda made: self.register(constraint, made)
        kind = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, constraints.Constraint):
            raise TypeError(f"Expected constraint to be either a Constraint subclass or instance, but got {kind}")
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _both(*regions: Any) -> Callable:
    def register(factory: Callable) -> Callable:
        for region in regions:
            biject_to.register(region, factory)
            transform_to.register(region, factory)
        return factory

    return register


@_both(constraints.real)
def _free(region: Any) -> Any:
    return transforms.identity_transform


@_both(constraints.greater_than, constraints.greater_than_eq)
def _above(region: Any) -> Any:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(region.lower_bound, 1)])


@_both(constraints.less_than)
def _below(region: Any) -> Any:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(region.upper_bound, -1)])


@_both(constraints.interval, constraints.half_open_interval)
def _between(region: Any) -> Any:
    low, high = region.lower_bound, region.upper_bound
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)])


@_both(constraints.corr_cholesky)
def _correlations(region: Any) -> Any:
    return transforms.CorrCholeskyTransform()


biject_to.register(constraints.simplex, lambda region: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda region: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda region: transforms.LowerCholeskyTransform())
for _region in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_region, lambda region: transforms.PositiveDefiniteTransform())


def _nested(registry: ConstraintRegistry) -> None:
    """The regions made of others, with this registry's transforms for those."""
    registry.register(
        constraints.independent,
        lambda r: transforms.IndependentTransform(registry(r.base_constraint), r.reinterpreted_batch_ndims),
    )
    registry.register(
        constraints.cat, lambda r: transforms.CatTransform([registry(c) for c in r.cseq], r.dim, r.lengths)
    )
    registry.register(constraints.stack, lambda r: transforms.StackTransform([registry(c) for c in r.cseq], r.dim))


_nested(biject_to)
_nested(transform_to)

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]
