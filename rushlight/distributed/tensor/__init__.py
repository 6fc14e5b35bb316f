"""Owns ``torch.distributed.tensor``: the class that programs ask about with ``isinstance``, and refusals.

May import _errors and the meshes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._errors import missing_name, not_supported
from ..device_mesh import _INSTEAD, DeviceMesh, init_device_mesh
from .placement_types import Partial, Placement, Replicate, Shard


class DTensor:
    """A tensor spread over processes; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.tensor.DTensor", _INSTEAD)

    @staticmethod
    def from_local(*args: Any, **kwargs: Any) -> DTensor:
        """Refused.

        Raises:
            NotImplementedError: always.
        """
        raise not_supported("torch.distributed.tensor.DTensor.from_local", _INSTEAD)


def distribute_tensor(*args: Any, **kwargs: Any) -> DTensor:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.tensor.distribute_tensor", _INSTEAD)


def distribute_module(*args: Any, **kwargs: Any) -> Any:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.tensor.distribute_module", _INSTEAD)


def __getattr__(name: str) -> Any:
    if name in ("_utils", "parallel"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor",
    "init_device_mesh",
]  # fmt: skip
