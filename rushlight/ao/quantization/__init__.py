"""Owns ``torch.ao.quantization``: models that round as quantized ones would, in floats; re-exports only.

May import the files beside. What would compute with integers is missing, or says so.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from .fake_quantize import *
from .fuse_modules import *
from .fuser_method_mappings import *
from .observer import *
from .qconfig import *
from .quantization_mappings import *
from .quantize import *
from .stubs import *


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
