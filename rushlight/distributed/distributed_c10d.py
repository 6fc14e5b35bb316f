"""Owns the collectives that write into one tensor, for a group of one process: each is a copy.

May import the tensor cell and the group, from the file above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import missing_name
from .._tensor.tensor import Tensor
from . import ReduceOp, _done


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The processes of a group: this one."""
    return [0]


def _copy(name: str, output: Tensor, source: Tensor) -> None:
    if output.numel() != source.numel():
        raise ValueError(
            f"{name}(): expected an output of {source.numel()} elements (the input's, times a world size of 1), "
            f"received {output.numel()}"
        )
    output.detach().copy_(source.detach().view(output.shape))


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Any:
    """Join the tensors of all processes in one.

    Args:
        output_tensor: where to.
        input_tensor: this process's.
        group: which processes.
        async_op: give an object to wait for.

    Raises:
        ValueError: an output of another size.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.init_process_group("gloo", world_size=1, rank=0)
        >>> out = torch.zeros(2)
        >>> torch.distributed.all_gather_into_tensor(out, torch.ones(2))
        >>> out
        tensor([1., 1.])
        >>> torch.distributed.destroy_process_group()
    """
    done = _done(async_op)
    _copy("all_gather_into_tensor", output_tensor, input_tensor)
    return done


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Any:
    """Combine the tensors of all processes, and give each a piece.

    Raises:
        ValueError: an output of another size.
    """
    done = _done(async_op)
    _copy("reduce_scatter_tensor", output, input)
    return done


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None, group: Any = None, async_op: bool = False,
) -> Any:  # fmt: skip
    """Send each process a piece of a tensor, and join what they send.

    Raises:
        ValueError: an output of another size.
    """
    done = _done(async_op)
    _copy("all_to_all_single", output, input)
    return done


def gather(
    tensor: Tensor, gather_list: Sequence[Tensor] | None = None, dst: int = 0, group: Any = None, async_op: bool = False
) -> Any:
    """Write the tensor of every process into a list on one of them.

    Raises:
        ValueError: not one entry for each process.
    """
    done = _done(async_op)
    if gather_list is None or len(gather_list) != 1:
        raise ValueError(f"gather(): expected a list of 1 tensor (the world size), received {gather_list}")
    _copy("gather", gather_list[0], tensor)
    return done


def scatter(
    tensor: Tensor, scatter_list: Sequence[Tensor] | None = None, src: int = 0, group: Any = None,
    async_op: bool = False,
) -> Any:  # fmt: skip
    """Send the tensors of a list on one process to all of them.

    Raises:
        ValueError: not one entry for each process.
    """
    done = _done(async_op)
    if scatter_list is None or len(scatter_list) != 1:
        raise ValueError(f"scatter(): expected a list of 1 tensor (the world size), received {scatter_list}")
    _copy("scatter", tensor, scatter_list[0])
    return done


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "all_gather_into_tensor", "all_to_all_single", "gather", "get_process_group_ranks", "reduce_scatter_tensor",
    "scatter",
]  # fmt: skip
