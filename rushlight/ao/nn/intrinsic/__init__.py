"""Owns ``torch.ao.nn.intrinsic``: modules fused so that they are quantized as one; re-exports only.

May import the folders below; those for training and for integers on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...._errors import missing_name
from .modules import *
from .modules.fused import _FusedModule as _FusedModule


def __getattr__(name: str) -> Any:
    if name in ("qat", "quantized"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)
