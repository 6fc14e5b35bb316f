"""Owns ``torch.ao``: the names of quantization that models mention while they compute in floating point.

May import the folders below.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors import missing_name


def __getattr__(name: str) -> Any:
    if name in ("nn", "quantization"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = ["nn", "quantization"]  # pyright: ignore[reportUnsupportedDunderAll]
