"""Owns the words in which programs say how parameters would be sharded: enums and records, with torch's values.

May import nn and _errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from ..._errors import missing_name
from ...nn.modules.batchnorm import _BatchNorm


class ShardingStrategy(Enum):
    """What would be spread over processes: all, all but the parameters in use, nothing, or each within a node."""

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """When the parameters that the backward pass needs next would be fetched."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


@dataclass
class MixedPrecision:
    """The types that a sharded module would compute in.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.fsdp.MixedPrecision(param_dtype=torch.bfloat16).param_dtype
        torch.bfloat16
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: Sequence[type] = (_BatchNorm,)


@dataclass
class CPUOffload:
    """Whether parameters would lie on the CPU while they are not needed."""

    offload_params: bool = False


class StateDictType(Enum):
    """Which state a sharded model would give: the whole, a process's own memory, or its pieces."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


@dataclass
class StateDictConfig:
    """How the state of a sharded model would be given."""

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """The same for the whole state."""

    rank0_only: bool = False


@dataclass
class LocalStateDictConfig(StateDictConfig):
    """The same for a process's own memory."""


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """The same for pieces."""

    _use_dtensor: bool = False


@dataclass
class OptimStateDictConfig:
    """How the state of an optimizer of a sharded model would be given."""

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """The same for the whole state."""

    rank0_only: bool = False


@dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """The same for a process's own memory."""

    offload_to_cpu: bool = False


@dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """The same for pieces."""

    _use_dtensor: bool = False


@dataclass
class StateDictSettings:
    """Which state a sharded model and its optimizer would give, and how."""

    state_dict_type: StateDictType
    state_dict_config: StateDictConfig
    optim_state_dict_config: OptimStateDictConfig


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "BackwardPrefetch", "CPUOffload", "FullOptimStateDictConfig", "FullStateDictConfig", "LocalOptimStateDictConfig",
    "LocalStateDictConfig", "MixedPrecision", "OptimStateDictConfig", "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig", "ShardingStrategy", "StateDictConfig", "StateDictSettings", "StateDictType",
]  # fmt: skip
