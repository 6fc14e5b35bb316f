"""Owns ``torch.ao.nn.quantized``: the operators that models wrap so that quantization finds them; re-exports only.

May import the files below and _errors.
"""

from __future__ import annotations

from typing import Any

from ...._errors import missing_name
from .modules.functional_modules import FloatFunctional


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["FloatFunctional"]
