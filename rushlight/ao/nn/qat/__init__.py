"""Owns ``torch.ao.nn.qat``: layers that round their weights while training; re-exports only.

May import the folders below; the one for dynamic quantization on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...._errors import missing_name
from .modules import *


def __getattr__(name: str) -> Any:
    if name == "dynamic":
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)
