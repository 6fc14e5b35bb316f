"""Owns the layers that normalise along a dimension; ``activation`` shows them under its own name.

May import the functions.
"""

from __future__ import annotations

from .. import functional as F
from ._options import own_init, shown
from .module import Module


class _AlongDim(Module):
    """An activation of vectors along a dimension."""

    __init_subclass__ = own_init
    __constants__ = ["dim"]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        # Pickles from before the option existed.
        self.__dict__.setdefault("dim", None)

    def extra_repr(self) -> str:
        return shown(self, "dim")


class Softmin(_AlongDim):
    """``softmax(-x)``.

    Args:
        dim: the dimension; leaving it out warns.
    """

    def forward(self, input):
        return F.softmin(input, self.dim, _stacklevel=5)


class Softmax(_AlongDim):
    """Exponentials along a dimension, divided by their sum.

    Args:
        dim: the dimension; leaving it out warns.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Softmax(dim=-1)(torch.tensor([1.0, 1.0]))
        tensor([0.5000, 0.5000])
    """

    def forward(self, input):
        return F.softmax(input, self.dim, _stacklevel=5)


class Softmax2d(Module):
    """Softmax over the channels of ``(N, C, H, W)`` or ``(C, H, W)``.

    Raises:
        ValueError: another number of dimensions.
    """

    def forward(self, input):
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return F.softmax(input, -3, _stacklevel=5)


class LogSoftmax(_AlongDim):
    """The logarithm of the softmax.

    Args:
        dim: the dimension; leaving it out warns.
    """

    def forward(self, input):
        return F.log_softmax(input, self.dim, _stacklevel=5)
