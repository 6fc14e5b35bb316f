"""Owns ``torch.distributed.fsdp``: the words for sharding, policies that choose submodules, and refusals to shard.

May import this folder and _errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..._errors import missing_name, not_supported
from .fully_sharded_data_parallel import (
    _INSTEAD,
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    LocalOptimStateDictConfig,
    LocalStateDictConfig,
    MixedPrecision,
    OptimStateDictConfig,
    ShardedOptimStateDictConfig,
    ShardedStateDictConfig,
    ShardingStrategy,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)  # fmt: skip


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
    if name in ("api", "wrap"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = [
    "BackwardPrefetch", "CPUOffload", "CPUOffloadPolicy", "FSDPModule", "FullOptimStateDictConfig",
    "FullStateDictConfig", "FullyShardedDataParallel", "LocalOptimStateDictConfig", "LocalStateDictConfig",
    "MixedPrecision", "MixedPrecisionPolicy", "OffloadPolicy", "OptimStateDictConfig", "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig", "ShardingStrategy", "StateDictConfig", "StateDictSettings", "StateDictType",
    "fully_shard",
]  # fmt: skip
