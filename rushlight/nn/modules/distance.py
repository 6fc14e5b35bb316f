"""Owns the layers that measure distance and direction.

May import the functions.
"""

from __future__ import annotations

from .. import functional as F
from .module import Module


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension.

    Args:
        p: which norm.
        eps: added to the difference.
        keepdim: keep the last dimension, with size 1.

    Shape: both ``(*, D)``; result ``(*)``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.PairwiseDistance(eps=0)(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([5.])
    """

    __constants__ = ["norm", "eps", "keepdim"]

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1, x2):
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along a dimension.

    Args:
        dim: the dimension.
        eps: the least length of a vector.

    Shape: both ``(*, D, *)``, broadcast; result without ``dim``.
    """

    __constants__ = ["dim", "eps"]

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1, x2):
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


__all__ = ["PairwiseDistance", "CosineSimilarity"]
