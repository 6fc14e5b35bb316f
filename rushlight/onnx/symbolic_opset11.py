"""Owns the name of PyTorch's ONNX operators, version 11, which packages import to describe their own; it is empty.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__: list[str] = []
