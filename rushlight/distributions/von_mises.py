"""Owns ``VonMises``. May import ``Distribution``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.creation import zeros
from ..ops.random import rand
from ..ops.special import i0e, i1e
from . import constraints
from .distribution import _NONE, Distribution
from .utils import broadcast_all, choose, lazy_property


class VonMises(Distribution):
    """The normal distribution of angles; any real number stands for the angle that it is modulo two pi.

    Args:
        loc: the mean angle.
        concentration: how narrow.
        validate_args: check parameters and samples.

    Example:
        >>> import rushlight as torch
        >>> VonMises(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(0.0))
        tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _tensors = ("loc", "concentration")

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    mean = mode = property(lambda self: self.loc)

    @lazy_property
    def variance(self) -> Tensor:
        """One minus the length of the mean direction."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        # i0e leaves the factor exp(concentration) out of the Bessel function.
        found = self.concentration * ((value - self.loc).cos() - 1)
        return found - math.log(2 * math.pi) - i0e(self.concentration).log()

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        """Draw by rejection from a wrapped Cauchy distribution (Best and Fisher 1979), in double precision."""
        with no_grad():
            loc, k = self.loc.to(dtypes.float64), self.concentration.to(dtypes.float64)
            tau = 1 + (1 + 4 * k**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            r = choose(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))
            shape = tuple(self._extended_shape(sample_shape))
            x = zeros(shape, dtype=dtypes.float64, device=loc.device)
            done = zeros(shape, dtype=dtypes.bool_, device=loc.device)
            while not bool(done.all()):
                first, second, side = rand((3, *shape), dtype=dtypes.float64, device=loc.device).unbind()
                z = (math.pi * first).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = ((c * (2 - c) - second) > 0) | ((c / second).log() + 1 - c >= 0)
                x = choose(accept, (side - 0.5).sign() * f.acos(), x)
                done = done | accept
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)


__all__ = ["VonMises"]
