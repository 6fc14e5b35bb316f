"""Owns ``torch.__config__``: what the build can do, in words.

May import the version, _errors and jax.
"""

from __future__ import annotations

from typing import Any

from ._errors import missing_name
from ._version import TORCH_VERSION, __version__


def show() -> str:
    """What computes here, in lines.

    Example:
        >>> import rushlight as torch
        >>> "JAX" in torch.__config__.show()
        True
    """
    import jax

    devices = ", ".join(sorted({str(device.device_kind) for device in jax.devices()}))
    return (
        f"rushlight {__version__}, with the interface of PyTorch {TORCH_VERSION}\n"
        f"  - JAX {jax.__version__}\n  - devices: {devices}\n"
    )


def parallel_info() -> str:
    """How work is spread over processor cores, in lines."""
    import os

    return f"XLA's own threads, up to the number of cores: {os.cpu_count()}\n"


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["parallel_info", "show"]
