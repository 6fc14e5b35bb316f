"""Owns ``fully_shard`` for one process: a mark on a module, whose parameters stay plain tensors.

May import nn, the refusals of the class beside it and _errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..._errors import not_supported
from ...nn import Module, ModuleDict, ModuleList
from ._sharded import _no_types


class UnshardHandle:
    """What ``unshard(async_op=True)`` gives."""

    def wait(self) -> None:
        """Return at once: parameters are whole."""


class FSDPModule:
    """What ``fully_shard`` makes of a module: its methods say when pieces would travel, and nothing does."""

    def unshard(self, async_op: bool = False) -> UnshardHandle | None:
        """Make the parameters whole: they are.

        Args:
            async_op: give an object to wait for.
        """
        return UnshardHandle() if async_op else None

    def reshard(self) -> None:
        """Give up the other processes' pieces: there are none."""

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether gradients are combined over processes: one has them all."""

    def set_requires_all_reduce(self, requires_all_reduce: bool, *, recurse: bool = True) -> None:
        """The same, between nodes."""

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Whether another backward pass follows: nothing is kept for it."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether pieces are given up after the forward pass: there are none."""

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """The same, after the backward pass."""

    def set_modules_to_forward_prefetch(self, modules: list[FSDPModule]) -> None:
        """Whose pieces are fetched early in the forward pass: there are none."""

    def set_modules_to_backward_prefetch(self, modules: list[FSDPModule]) -> None:
        """The same, in the backward pass."""


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """The types that a sharded module would compute in."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


class OffloadPolicy:
    """Where a sharded module keeps its parameters: where they are."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Where a sharded module would keep its parameters: on the CPU."""

    pin_memory: bool = True


@functools.cache
def _marked(kind: type) -> type:
    return type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def fully_shard(
    module: Any, *, mesh: Any = None, reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable | None = None, mp_policy: MixedPrecisionPolicy | None = None,
    offload_policy: OffloadPolicy | None = None, ignored_params: set | None = None,
) -> Any:  # fmt: skip
    """Spread a module's parameters over processes, in place: with one, they stay plain tensors.

    Args:
        module: the module, or several; they become instances of ``FSDPModule`` too.
        mesh: which processes.
        reshard_after_forward, shard_placement_fn, ignored_params: how pieces are cut and travel; nothing is.
        mp_policy: without types.
        offload_policy: parameters stay where they are.

    Returns:
        The same module, or modules.

    Raises:
        ValueError: a container that has no ``forward``.
        AssertionError: a module a second time.
        NotImplementedError: types of ``mp_policy``, or ``CPUOffloadPolicy``.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.fsdp import FSDPModule, fully_shard
        >>> isinstance(fully_shard(torch.nn.Linear(2, 2)), FSDPModule)
        True
    """
    _no_types(mp_policy or MixedPrecisionPolicy(), ("param_dtype", "reduce_dtype", "output_dtype"), "fully_shard")
    if isinstance(offload_policy, CPUOffloadPolicy):
        raise not_supported(
            "fully_shard(offload_policy=CPUOffloadPolicy())", "Leave it out: parameters stay on their device."
        )
    several: Sequence[Module] = module if isinstance(module, list | tuple) else (module,)
    for one in several:
        if isinstance(one, ModuleList | ModuleDict):
            raise ValueError(f"fully_shard does not support containers that do not implement forward: {one}")
        if isinstance(one, FSDPModule):
            raise AssertionError(
                "Each distinct composable distributed API can only be applied to a module once. fully_shard has "
                f"already been applied to the following module:\n{one}"
            )
        one.__class__ = _marked(type(one))
    return module
