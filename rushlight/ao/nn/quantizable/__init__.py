"""Owns ``torch.ao.nn.quantizable``: modules built from parts that can be watched and rounded; re-exports only.

May import the folder below and _errors.
"""

from __future__ import annotations

from typing import Any

from ...._errors import missing_name
from .modules import *


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
