"""Owns ``Distribution``, the base of all: shapes, checks of parameters and samples, and expanding.

May import the tensor cell, modes, dtypes and constraints.
"""

from __future__ import annotations

import warnings
from typing import Any

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.nn_common import concrete
from . import constraints
from .utils import lazy_property

_NONE = dtypes.Size(())


def _all_true(valid: Tensor) -> bool:
    """Whether all is true; what cannot be looked at (inside a trace) is taken to be."""
    if concrete(valid) is None and valid.device.type == "cpu":
        return True
    return bool(valid.all())


def _absent(name: str, doc: str) -> Any:
    """A property that a subclass has to define."""

    def missing(self: Any) -> Any:
        raise self._missing(name)

    return property(missing, doc=doc)


class Distribution:
    """A distribution of tensors.

    A sample has the shape ``sample_shape + batch_shape + event_shape``: independent draws, different parameters, and
    what belongs together.

    Args:
        batch_shape, event_shape: as above.
        validate_args: check parameters and samples; default: yes.

    Attributes:
        arg_constraints: the region of each parameter.
        support: that of the samples.
        has_rsample: whether samples carry gradients to the parameters.
        has_enumerate_support: whether there are finitely many values.

    Raises:
        ValueError: parameters outside of their regions.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__
    _batch_shape: Any
    _event_shape: Any
    # What ``expand`` expands, and what it takes over; a subclass with a constructor of its own says so.
    _tensors: tuple[str, ...] = ()
    _same: tuple[str, ...] = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Check parameters and samples by default, or not."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args() takes True or False, but got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = _NONE, event_shape: Any = _NONE, validate_args: bool | None = None) -> None:
        self._batch_shape = dtypes.Size(batch_shape)
        self._event_shape = dtypes.Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            regions = self.arg_constraints
        except NotImplementedError:
            regions = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                "the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
        for name, region in regions.items():
            if constraints.is_dependent(region):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property):
                continue
            value = getattr(self, name)
            if not _all_true(region.check(value)):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {region!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with another batch shape, to which the present one broadcasts.

        Args:
            batch_shape: the new one.
            _instance: what a subclass made, to fill in.

        Raises:
            NotImplementedError: a subclass has a constructor of its own, but no ``expand``.
        """
        home = next(c for c in type(self).__mro__ if "_tensors" in c.__dict__)
        if home is Distribution:
            raise NotImplementedError(f"{type(self).__name__} does not define expand")
        new = self._get_checked_instance(home, _instance)
        batch_shape = dtypes.Size(batch_shape)
        own = len(self._batch_shape)
        for name in self._tensors:
            if name in self.__dict__:
                value = getattr(self, name)
                if isinstance(value, Distribution):
                    setattr(new, name, value.expand(batch_shape))
                else:
                    setattr(new, name, value.expand((*batch_shape, *value.shape[own:])))
        for name in self._same:
            setattr(new, name, getattr(self, name))
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also "
                "define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self) -> dtypes.Size:
        """The shape of different parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> dtypes.Size:
        """The shape of what belongs together."""
        return self._event_shape

    def _missing(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self)} does not implement {what}")

    arg_constraints: Any = _absent("arg_constraints", "The region of each parameter.")
    support: Any = _absent("support", "The region of the samples.")
    mean: Any = _absent("mean", "The expected value.")
    mode: Any = _absent("mode", "The most likely value.")
    variance: Any = _absent("variance", "The expected squared distance from the mean.")

    stddev: Any = property(lambda self: self.variance.sqrt(), doc="The square root of the variance.")

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        """Draw; no gradients flow to the parameters."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = _NONE) -> Tensor:
        """Draw, with gradients to the parameters."""
        raise self._missing("rsample")

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``; deprecated."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(dtypes.Size((n,)))

    def log_prob(self, value: Tensor) -> Any:
        """The logarithm of the density (or probability) at a value."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most a value."""
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value that is exceeded with probability ``1 - value``."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values, in a new first dimension.

        Args:
            expand: repeat them over the batch.
        """
        raise self._missing("enumerate_support")

    def entropy(self) -> Tensor:
        """The expected ``-log_prob``."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = _NONE) -> dtypes.Size:
        return dtypes.Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _checked(self, value: Any) -> None:
        """Refuse a sample that cannot be one, where that is wanted."""
        if self._validate_args:
            self._validate_sample(value)

    def _validate_sample(self, value: Any) -> None:
        """Refuse a sample that cannot be one.

        Raises:
            ValueError: no tensor, another shape, or outside of the support.
        """
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        start = value.dim() - len(self._event_shape)
        if value.size()[start:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs {self._event_shape}."
            )
        expected = dtypes.Size((*self._batch_shape, *self._event_shape))
        for i, j in zip(reversed(value.size()), reversed(expected)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs {expected}."
                )
        try:
            region = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not _all_true(region.check(value)):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                f"support ({region!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"


__all__ = ["Distribution"]
