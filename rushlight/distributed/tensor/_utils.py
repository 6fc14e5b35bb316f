"""Owns the question of where a process's piece of a distributed tensor lies, as a refusal.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported
from ..device_mesh import _INSTEAD


def compute_local_shape_and_global_offset(*args: Any, **kwargs: Any) -> Any:
    """Refused: there are no distributed tensors.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.tensor._utils.compute_local_shape_and_global_offset", _INSTEAD)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["compute_local_shape_and_global_offset"]
