"""Owns the class that would shard a module over processes, as refusals; and its words, re-exported.

May import nn, the words and _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported
from ...nn import Module
from .api import (
    BackwardPrefetch,
    CPUOffload,
    FullOptimStateDictConfig,
    FullStateDictConfig,
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

_INSTEAD = (
    "Keep parameters whole: torch.nn.DataParallel splits a batch over the devices that JAX sees, and jax.sharding "
    "spreads arrays over them."
)
_STATES = (
    "Use module.state_dict() and optimizer.state_dict(), or torch.distributed.checkpoint.state_dict.get_state_dict; "
    "jax.sharding spreads arrays over devices."
)


def _refused(name: str) -> Any:
    def method(*args: Any, **kwargs: Any) -> Any:
        raise not_supported(f"torch.distributed.fsdp.FullyShardedDataParallel.{name}", _STATES)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "Refused, with NotImplementedError: no module is sharded."
    return staticmethod(method)


class FullyShardedDataParallel(Module):
    """A module whose parameters are spread over processes; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.fsdp.FullyShardedDataParallel", _INSTEAD)

    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list[Module]:
        """The sharded modules inside of one: none."""
        return []

    flatten_sharded_optim_state_dict = _refused("flatten_sharded_optim_state_dict")
    full_optim_state_dict = _refused("full_optim_state_dict")
    get_state_dict_type = _refused("get_state_dict_type")
    optim_state_dict = _refused("optim_state_dict")
    optim_state_dict_to_load = _refused("optim_state_dict_to_load")
    rekey_optim_state_dict = _refused("rekey_optim_state_dict")
    scatter_full_optim_state_dict = _refused("scatter_full_optim_state_dict")
    set_state_dict_type = _refused("set_state_dict_type")
    shard_full_optim_state_dict = _refused("shard_full_optim_state_dict")
    sharded_optim_state_dict = _refused("sharded_optim_state_dict")
    state_dict_type = _refused("state_dict_type")
    summon_full_params = _refused("summon_full_params")


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "BackwardPrefetch", "CPUOffload", "FullOptimStateDictConfig", "FullStateDictConfig", "FullyShardedDataParallel",
    "LocalOptimStateDictConfig", "LocalStateDictConfig", "MixedPrecision", "OptimStateDictConfig",
    "ShardedOptimStateDictConfig", "ShardedStateDictConfig", "ShardingStrategy", "StateDictConfig",
    "StateDictSettings", "StateDictType",
]  # fmt: skip
