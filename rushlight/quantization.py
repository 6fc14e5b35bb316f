"""Owns ``torch.quantization``, the older name of ``torch.ao.quantization``; re-exports only.

May import ao.
"""

from typing import Any

from ._errors import missing_name
from .ao.quantization import *


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
