"""Owns the few names of ``torch._C``, PyTorch's compiled part, that programs probe from Python.

May import the tensor cell, random and _errors.
"""

from __future__ import annotations

from typing import Any

from ._device import device
from ._errors import missing_name
from ._tensor.tensor import Tensor
from .dtypes import Size, dtype
from .random.generator import Generator

TensorBase = Tensor


def _get_tracing_state() -> None:
    """What ``torch.jit.trace`` is recording: nothing, ever."""


def _log_api_usage_once(event: str) -> None:
    """Accepted: nothing is logged."""


def _disabled_torch_function_impl(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """A ``__torch_function__`` that takes nothing over."""
    return func(*args, **(kwargs or {}))


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["Generator", "Size", "TensorBase", "device", "dtype"]
