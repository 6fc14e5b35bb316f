"""Owns the folder ``torch.ao.nn``; re-exports only.

May import the folders below, each on first use: they need each other.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._errors import missing_name

_LAZY = ("intrinsic", "qat", "quantizable", "quantized")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)
