"""Owns ``torch.types``: what torch's annotations name.

May import dtypes, devices and the tensor cell.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO, Any

from ._device import device
from ._errors import missing_name
from ._tensor.storage import UntypedStorage
from ._tensor.tensor import Tensor
from .dtypes import Size, dtype, layout

_device, _dtype, _layout = device, dtype, layout
_bool, _int, _float, _complex = builtins.bool, builtins.int, builtins.float, builtins.complex
_str, _bytes = builtins.str, builtins.bytes

Number = int | float | bool
_Number = (int, float, bool)
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
Storage = UntypedStorage
_size = Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
BoolLikeType = bool
IntLikeType = int
FloatLikeType = float


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Device", "FileLike", "Number", "Storage"]
