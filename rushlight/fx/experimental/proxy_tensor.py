"""Owns the question which tracer of operators is at work, which is none, ever, and the refusal of ``make_fx``.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported


def get_proxy_mode() -> None:
    """The tracer of ``make_fx`` that is at work: there is none; ``torch.compiler.is_compiling`` asks about compilation.

    Example:
        >>> from rushlight.fx.experimental.proxy_tensor import get_proxy_mode
        >>> get_proxy_mode() is None
        True
    """


def make_fx(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Refused: there are no operators of ATen below rushlight's functions.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported(
        "torch.fx.experimental.proxy_tensor.make_fx",
        "torch.fx.symbolic_trace records the functions of a program; jax.make_jaxpr shows what XLA gets.",
    )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["get_proxy_mode", "make_fx"]
