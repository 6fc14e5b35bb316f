"""Owns ``HalfCauchy``. May import ``Cauchy`` and the base that ``HalfNormal`` has too."""

from __future__ import annotations

import math
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.creation import as_tensor, full_like, zeros_like
from .cauchy import Cauchy
from .half_normal import Half


class HalfCauchy(Half):
    """The size of Cauchy numbers around zero.

    Args:
        scale: half the width at half the height.
        validate_args: check parameters and samples.
    """

    _whole = Cauchy
    mean = property(lambda self: full_like(self.scale, math.inf))
    mode = property(lambda self: zeros_like(self.scale))
    variance = property(lambda self: self.base_dist.variance)

    def log_prob(self, value: Tensor) -> Any:
        self._checked(value)
        return super().log_prob(as_tensor(value, dtype=self.scale.dtype, device=self.scale.device))


__all__ = ["HalfCauchy"]
