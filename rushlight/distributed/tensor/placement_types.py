"""Owns the words in which programs say how a tensor lies across processes: split, copied, or summed up later.

May import _errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..._errors import missing_name


class Placement:
    """How one dimension of a mesh holds a tensor."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether it splits the tensor, along ``dim`` if one is given."""
        return isinstance(self, Shard) and dim in (None, self.dim)

    def is_replicate(self) -> bool:
        """Whether every process has the whole tensor."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether the processes have parts still to be combined, by ``reduce_op`` if one is given."""
        return isinstance(self, Partial) and reduce_op in (None, self.reduce_op)


@dataclass(frozen=True)
class Shard(Placement):
    """Each process has a piece along ``dim``.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.tensor.Shard(1).is_shard(1)
        True
    """

    dim: int


@dataclass(frozen=True)
class _StridedShard(Shard):
    """Each process has several pieces along ``dim``, one from each of ``split_factor`` parts."""

    split_factor: int = 1


@dataclass(frozen=True)
class Replicate(Placement):
    """Each process has the whole tensor."""


@dataclass(frozen=True)
class Partial(Placement):
    """Each process has a part of a sum, or of another reduction."""

    reduce_op: str = "sum"


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Partial", "Placement", "Replicate", "Shard"]
