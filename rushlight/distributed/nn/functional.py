"""Owns the collectives through which gradients pass: with one process, each gives its tensor back, on the tape.

May import the tensor cell, the group and _errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._errors import missing_name
from ..._tensor.tensor import Tensor
from .. import ReduceOp, _world


def _one(name: str, tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise ValueError(f"{name}(): expected a list of 1 tensor (the world size), received {len(tensors)}")
    return tensors[0].clone()


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes.

    Args:
        tensor: this process's.
        group: which processes.

    Raises:
        ValueError: ``init_process_group`` was not called.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.init_process_group("gloo", world_size=1, rank=0)
        >>> torch.distributed.nn.functional.all_gather(torch.ones(2))
        (tensor([1., 1.]),)
        >>> torch.distributed.destroy_process_group()
    """
    _world()
    return (tensor.clone(),)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes, on one of them; arguments as for ``all_gather``."""
    return all_gather(tensor, group)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of one process, on all of them."""
    _world()
    return tensor.clone()


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The combined tensors of all processes, on one of them."""
    _world()
    return tensor.clone()


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The combined tensors of all processes."""
    _world()
    return tensor.clone()


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """This process's tensor of a list on one of them.

    Raises:
        ValueError: not one entry for each process.
    """
    _world()
    return _one("scatter", tensors)


def reduce_scatter(output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """This process's piece of the combined lists of all processes; ``output`` gives its form.

    Raises:
        ValueError: not one entry for each process.
    """
    _world()
    return _one("reduce_scatter", input_list)


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """What every process sends to this one.

    Raises:
        ValueError: not one entry for each process.
    """
    _world()
    return (_one("all_to_all", input_tensor_list),)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce", "reduce_scatter", "scatter"]
