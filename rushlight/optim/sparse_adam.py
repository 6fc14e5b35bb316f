"""Owns the name ``SparseAdam``, which needs gradients that rushlight does not have.

May import the errors.
"""

from __future__ import annotations

from .._errors import not_supported
from .optimizer import Optimizer


class SparseAdam(Optimizer):
    """Not available: XLA has no sparse gradients.

    Raises:
        NotImplementedError: always; use Adam.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        raise not_supported(
            "SparseAdam (it needs sparse gradients)", "Use torch.optim.Adam: all gradients are dense here."
        )


__all__ = ["SparseAdam"]
