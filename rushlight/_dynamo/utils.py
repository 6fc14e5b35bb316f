"""Owns the question of ``torch._dynamo.utils`` that programs ask before they compile.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name


def is_compile_supported(device_type: str) -> bool:
    """Whether ``torch.compile`` works on a kind of device: on all, since XLA compiles for each that JAX sees.

    Args:
        device_type: such as ``"cpu"``.
    """
    return True


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["is_compile_supported"]
