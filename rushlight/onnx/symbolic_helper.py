"""Owns the marks by which packages describe their operators to PyTorch's ONNX exporter, which is not here.

May import _errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import missing_name

_F = TypeVar("_F", bound=Callable)


def parse_args(*arg_descriptors: str) -> Callable[[_F], _F]:
    """Give the decorated function back: no exporter will call it.

    Args:
        arg_descriptors: the kinds of its arguments.

    Example:
        >>> import rushlight as torch
        >>> torch.onnx.symbolic_helper.parse_args("v", "i")(len)("abc")
        3
    """
    return lambda fn: fn


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["parse_args"]
