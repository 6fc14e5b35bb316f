"""Owns ``LKJCholesky``. May import ``Beta``, constraints and the operators."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.tensor import Tensor
from ..ops.creation import arange
from ..ops.diagonals import diag_embed
from ..ops.join import cat
from ..ops.special import mvlgamma
from . import constraints
from .beta import Beta
from .distribution import _NONE, Distribution
from .utils import broadcast_all, choose, standard_normal


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices (Lewandowski, Kurowicka and Joe 2009).

    Args:
        dim: the size of the matrices.
        concentration: 1 for all correlation matrices alike, more for matrices closer to the identity.
        validate_args: check parameters and samples.

    Raises:
        ValueError: fewer than two dimensions.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        given = self.concentration
        steps = arange(dim - 1, dtype=given.dtype, device=given.device)
        steps = cat([steps.new_zeros((1,)), steps])
        self._beta = Beta(steps + 0.5, (given + 0.5 * (dim - 2)).unsqueeze(-1) - 0.5 * steps)
        super().__init__(given.size(), (dim, dim), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(LKJCholesky, _instance)
        new.dim, new.concentration = self.dim, self.concentration.expand(tuple(batch_shape))
        new._beta = self._beta.expand((*batch_shape, self.dim))
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Any = _NONE) -> Tensor:
        """Draw row by row (the onion method): a length, and a direction among the columns before the diagonal."""
        with no_grad():
            lengths = self._beta.sample(sample_shape).unsqueeze(-1)
            normal = standard_normal(self._extended_shape(sample_shape), lengths).tril(-1)
            sizes = normal.norm(dim=-1, keepdim=True)
            rows = lengths.sqrt() * choose(sizes == 0, 0.0, normal / sizes)
            rest = (1 - rows.pow(2).sum(-1)).clamp(min=dtypes.finfo(rows.dtype).tiny).sqrt()
            return rows + diag_embed(rest)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        n = self.dim - 1
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim
        order = order - arange(2, self.dim + 1, device=self.concentration.device)
        found = (order * value.diagonal(dim1=-1, dim2=-2)[..., 1:].log()).sum(-1)
        alpha = self.concentration + 0.5 * n
        return found - (0.5 * n * math.log(math.pi) + mvlgamma(alpha - 0.5, n) - alpha.lgamma() * n)


__all__ = ["LKJCholesky"]
