"""Owns ``torch.ao.nn.intrinsic.qat``: fused layers that round their weights while training; re-exports only.

May import the folder below and _errors.
"""

from __future__ import annotations

from typing import Any

from ....._errors import missing_name
from .modules import *


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
