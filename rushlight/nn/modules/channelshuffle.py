"""Owns the layer that mixes groups of channels.

May import the functions.
"""

from __future__ import annotations

from .. import functional as F
from ._options import shown
from .module import Module


class ChannelShuffle(Module):
    """Interleave groups of channels (Zhang et al. 2017).

    Args:
        groups: how many.

    Shape: ``(N, C, *)``; the result has the input's.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.ChannelShuffle(2)(torch.arange(4.0).reshape(1, 4, 1)).flatten()
        tensor([0., 2., 1., 3.])
    """

    __constants__ = ["groups"]

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input):
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return shown(self, "groups")


__all__ = ["ChannelShuffle"]
