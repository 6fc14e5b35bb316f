"""Owns ``torch.ao.quantization``: the marks that models carry; what would quantize them is missing.

May import the marks.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from .stubs import DeQuantStub, QuantStub, QuantWrapper


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]
