"""Owns ``torch.distributed.fsdp`` as refusals: classes that programs ask about, and functions that would shard.

May import nn and _errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._errors import missing_name, not_supported
from ..nn import Module

_INSTEAD = "Keep parameters whole; torch.nn.DataParallel splits a batch over the devices that JAX sees."


class FullyShardedDataParallel(Module):
    """A module whose parameters are spread over processes; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.fsdp.FullyShardedDataParallel", _INSTEAD)


class FSDPModule:
    """What ``fully_shard`` would make of a module; nothing is one, so ``isinstance`` says no."""


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """The types that a sharded module would compute in."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


class OffloadPolicy:
    """Where a sharded module would keep its parameters: where they are."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Where a sharded module would keep its parameters: on the CPU."""

    pin_memory: bool = True


def fully_shard(module: Any, **options: Any) -> Any:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.fsdp.fully_shard", _INSTEAD)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "CPUOffloadPolicy", "FSDPModule", "FullyShardedDataParallel", "MixedPrecisionPolicy", "OffloadPolicy",
    "fully_shard",
]  # fmt: skip
