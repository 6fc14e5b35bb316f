"""Owns the former name of ``torch.distributed.tensor``; re-exports only.

May import that package and the meshes.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from .. import device_mesh as device_mesh
from ..tensor import (
    DeviceMesh,
    DTensor,
    Partial,
    Placement,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
    init_device_mesh,
)  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor",
    "init_device_mesh",
]  # fmt: skip
