"""Owns how layers make the parameters and buffers that they fill afterwards.

May import Parameter, init and creation; nothing takes memory before it is read.
"""

from __future__ import annotations

from typing import Any

from ...ops.creation import empty
from .. import init
from ..parameter import Parameter


def parameter(shape: Any, device: Any = None, dtype: Any = None) -> Any:
    """A parameter whose values are still to be drawn."""
    return Parameter(empty(shape, device=device, dtype=dtype))


def zeros(shape: Any, device: Any = None, dtype: Any = None) -> Any:
    """A buffer of zeros."""
    return init.zeros_(empty(shape, device=device, dtype=dtype))


def ones(shape: Any, device: Any = None, dtype: Any = None) -> Any:
    """A buffer of ones."""
    return init.ones_(empty(shape, device=device, dtype=dtype))
