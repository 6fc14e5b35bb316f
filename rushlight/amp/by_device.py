"""Owns autocast's older switches, which have the type of device in their names.

May import autocast_mode and dtypes.
"""

from __future__ import annotations

from .. import dtypes
from .autocast_mode import get_autocast_dtype, is_autocast_enabled, set_autocast_dtype, set_autocast_enabled


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on for the CPU."""
    return is_autocast_enabled("cpu")


def is_autocast_xla_enabled() -> bool:
    """Whether autocast is on for TPUs."""
    return is_autocast_enabled("xla")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the CPU."""
    set_autocast_enabled("cpu", enabled)


def set_autocast_xla_enabled(enabled: bool) -> None:
    """Switch autocast on or off for TPUs."""
    set_autocast_enabled("xla", enabled)


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """The dtype in which products run under autocast on the CPU."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """The dtype in which products run under autocast on GPUs."""
    return get_autocast_dtype("cuda")


def get_autocast_xla_dtype() -> dtypes.dtype:
    """The dtype in which products run under autocast on TPUs."""
    return get_autocast_dtype("xla")


def set_autocast_cpu_dtype(dtype: dtypes.dtype) -> None:
    """Set the dtype in which products run under autocast on the CPU."""
    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype: dtypes.dtype) -> None:
    """Set the dtype in which products run under autocast on GPUs."""
    set_autocast_dtype("cuda", dtype)


def set_autocast_xla_dtype(dtype: dtypes.dtype) -> None:
    """Set the dtype in which products run under autocast on TPUs."""
    set_autocast_dtype("xla", dtype)


__all__ = [
    "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "get_autocast_xla_dtype", "is_autocast_cpu_enabled",
    "is_autocast_xla_enabled", "set_autocast_cpu_dtype", "set_autocast_cpu_enabled", "set_autocast_gpu_dtype",
    "set_autocast_xla_dtype", "set_autocast_xla_enabled",
]  # fmt: skip
