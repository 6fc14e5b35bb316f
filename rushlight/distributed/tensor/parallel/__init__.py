"""Owns ``torch.distributed.tensor.parallel``: the words of plans that would divide layers, and the refusal to divide.

May import the words below, nn and _errors.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...._errors import missing_name, not_supported
from ....nn import Module
from .style import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
)


def parallelize_module(
    module: Module, device_mesh: Any = None, parallelize_plan: Any = None, *, src_data_rank: int | None = 0
) -> Module:
    """Refused; without a plan there is nothing to do, and the module comes back with a warning, as in torch.

    Args:
        module: the module.
        device_mesh, src_data_rank: accepted: there is nothing to divide.
        parallelize_plan: how it would be divided.

    Raises:
        NotImplementedError: there is a plan.
    """
    if parallelize_plan is None:
        warnings.warn(
            "No parallelize_plan is provided and auto-parallel is not supported at the moment, so this "
            "parallelize_module will do nothing.",
            stacklevel=2,
        )
        return module
    raise not_supported(
        "torch.distributed.tensor.parallel.parallelize_module with a plan",
        "Keep layers whole: torch.nn.DataParallel splits a batch over the devices that JAX sees, and jax.sharding "
        "spreads arrays over them.",
    )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "ColwiseParallel", "ParallelStyle", "PrepareModuleInput", "PrepareModuleOutput", "RowwiseParallel",
    "SequenceParallel", "parallelize_module",
]  # fmt: skip
