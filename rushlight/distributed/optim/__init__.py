"""Owns ``torch.distributed.optim``; re-exports only.

May import the file below and _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from .optimizer import DistributedOptimizer as DistributedOptimizer


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DistributedOptimizer"]
