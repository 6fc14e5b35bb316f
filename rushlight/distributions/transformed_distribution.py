"""Owns ``TransformedDistribution``. May import ``Independent``, transforms and constraints."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from . import constraints
from .distribution import _NONE, Distribution
from .independent import Independent
from .transforms import ComposeTransform, Transform
from .utils import _sum_rightmost


class TransformedDistribution(Distribution):
    """What comes out where samples go through transforms.

    Args:
        base_distribution: of the samples.
        transforms: one, or a list of them.
        validate_args: check samples.

    Raises:
        ValueError: something else than transforms, or a distribution of too few dimensions.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributions import Uniform, transforms
        >>> exp = TransformedDistribution(Uniform(0.0, 1.0), transforms.ExpTransform())
        >>> exp.log_prob(torch.tensor(2.0))
        tensor(-0.6931)
    """

    arg_constraints: Any = {}
    _tensors = ()

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        if isinstance(transforms, Transform):
            transforms = [transforms]
        elif not isinstance(transforms, list):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        elif not all(isinstance(t, Transform) for t in transforms):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        self.transforms = transforms
        base_shape = dtypes.Size((*base_distribution.batch_shape, *base_distribution.event_shape))
        base_event_dim = len(base_distribution.event_shape)
        chain: Any = ComposeTransform(transforms)
        if len(base_shape) < chain.domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {chain.domain.event_dim}, but got "
                f"{base_shape}."
            )
        shape = dtypes.Size(chain.forward_shape(base_shape))
        needed = dtypes.Size(chain.inverse_shape(shape))
        if base_shape != needed:
            base_distribution = base_distribution.expand(dtypes.Size(needed[: len(needed) - base_event_dim]))
        together = chain.domain.event_dim - base_event_dim
        self.base_dist = Independent(base_distribution, together) if together > 0 else base_distribution
        more = chain.codomain.event_dim - chain.domain.event_dim
        cut = len(shape) - max(chain.codomain.event_dim, base_event_dim + more)
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(TransformedDistribution, _instance)
        shape: Any = dtypes.Size((*batch_shape, *self.event_shape))
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        new.base_dist = self.base_dist.expand(dtypes.Size(shape[: len(shape) - len(self.base_dist.event_shape)]))
        new.transforms = self.transforms
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _region(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        region = self.transforms[-1].codomain
        more = len(self.event_shape) - region.event_dim
        return constraints.independent(region, more) if more > 0 else region

    support: Any = constraints.dependent_property(is_discrete=False)(_region)
    has_rsample = property(lambda self: self.base_dist.has_rsample)

    def _through(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        return self._through(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        event_dim = len(self.event_shape)
        found: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(value)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            change = transform.log_abs_det_jacobian(x, value)
            found = found - _sum_rightmost(change, event_dim - transform.domain.event_dim)
            value = x
        return found + _sum_rightmost(self.base_dist.log_prob(value), event_dim - len(self.base_dist.event_shape))

    def _monotonize_cdf(self, value: Tensor) -> Tensor:
        """A probability, turned around where the transforms fall."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._through(self.base_dist.icdf(self._monotonize_cdf(value)))


__all__ = ["TransformedDistribution"]
