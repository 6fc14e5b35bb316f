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

    @staticmethod
    def local_shard_size_and_offset(curr_local_size: int, num_chunks: int, rank: int) -> tuple[int, int]:
        """How long a process's piece is, and where it begins.

        Args:
            curr_local_size: how long the whole is.
            num_chunks: into how many pieces it is split, as by ``torch.chunk``.
            rank: which piece.

        Example:
            >>> import rushlight as torch
            >>> torch.distributed.tensor.Shard.local_shard_size_and_offset(10, 4, 3)
            (1, 9)
        """
        step = -(-curr_local_size // num_chunks)
        start = min(step * rank, curr_local_size)
        return min(step, curr_local_size - start), start

    def __str__(self) -> str:
        return f"S({self.dim})"


@dataclass(frozen=True)
class _StridedShard(Shard):
    """Each process has several pieces along ``dim``, one from each of ``split_factor`` parts."""

    split_factor: int = 1

    def __str__(self) -> str:
        return f"_S({self.dim}, {self.split_factor})"


@dataclass(frozen=True)
class Replicate(Placement):
    """Each process has the whole tensor."""

    def __str__(self) -> str:
        return "R"


@dataclass(frozen=True)
class Partial(Placement):
    """Each process has a part of a sum, or of another reduction."""

    reduce_op: str = "sum"

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Partial", "Placement", "Replicate", "Shard"]
