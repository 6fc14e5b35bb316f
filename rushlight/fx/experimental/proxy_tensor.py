"""Owns the question which tracer of operators is at work: none, ever.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name


def get_proxy_mode() -> None:
    """The tracer of ``make_fx`` that is at work: there is none; ``torch.compiler.is_compiling`` asks about compilation.

    Example:
        >>> from rushlight.fx.experimental.proxy_tensor import get_proxy_mode
        >>> get_proxy_mode() is None
        True
    """


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["get_proxy_mode"]
