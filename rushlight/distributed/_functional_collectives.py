"""Owns the collectives that give their result instead of writing it, for a group of one process.

May import the tensor cell and _errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import missing_name, not_supported
from .._tensor.tensor import Tensor


def wait_tensor(tensor: Tensor) -> Tensor:
    """A tensor once it has arrived: nothing is on its way."""
    return tensor


def all_reduce(self: Tensor, reduceOp: str, group: Any, tag: str = "") -> Tensor:
    """A tensor combined over all processes; with one process, a copy."""
    return self.clone()


def all_gather_tensor(self: Tensor, gather_dim: int, group: Any, tag: str = "") -> Tensor:
    """The tensors of all processes joined; with one process, a copy."""
    return self.clone()


def reduce_scatter_tensor(self: Tensor, reduceOp: str, scatter_dim: int, group: Any, tag: str = "") -> Tensor:
    """This process's piece of the combined tensor; with one process, a copy of all of it."""
    return self.clone()


def all_to_all_single(
    self: Tensor, output_split_sizes: Sequence[int] | None, input_split_sizes: Sequence[int] | None, group: Any,
    tag: str = "",
) -> Tensor:  # fmt: skip
    """What every process sends to this one; with one process, a copy.

    Raises:
        ValueError: sizes that do not add up to the tensor's rows.
    """
    for sizes in (output_split_sizes, input_split_sizes):
        if sizes is not None and sum(sizes) != len(self):
            raise ValueError(f"all_to_all_single(): expected sizes that add up to {len(self)}, received {list(sizes)}")
    return self.clone()


def permute_tensor(self: Tensor, src_dst: Sequence[int], group: Any, tag: str = "") -> Tensor:
    """What the process that sends to this one has; with one process, a copy.

    Raises:
        ValueError: a list of receivers other than ``[0]``.
    """
    if list(src_dst) != [0]:
        raise ValueError(f"permute_tensor(): expected [0] (the one process sends to itself), received {list(src_dst)}")
    return self.clone()


class AsyncCollectiveTensor:
    """A tensor that is on its way; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("AsyncCollectiveTensor", "The collectives of one process give plain tensors at once.")


all_to_all_single_autograd = all_to_all_single


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "AsyncCollectiveTensor", "all_gather_tensor", "all_reduce", "all_to_all_single", "permute_tensor",
    "reduce_scatter_tensor", "wait_tensor",
]  # fmt: skip
