"""Owns ``torch._check`` and its relatives: conditions that public code states before it computes.

May import the tensor cell and dtypes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor

_SILENT = "Expected cond to be True, but got False. Give a message that says what was expected."


def _check_with(error_type: Any, cond: Any, message: Callable[[], Any] | None) -> None:
    """Raise ``error_type`` with what ``message()`` says unless ``cond`` holds.

    Raises:
        TypeError: ``cond`` is no bool, or ``message`` cannot be called.
    """
    if isinstance(cond, Tensor):
        raise TypeError(
            "cond must be a bool, but got a Tensor. For tensor conditions, use torch._check_tensor_all() to assert "
            "that all elements are true."
        )
    if not isinstance(cond, builtins.bool):
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if cond:
        return
    if message is None:
        raise error_type(_SILENT)
    if not callable(message):
        raise TypeError("message must be a callable")
    raise error_type(str(message()))


def _of(error_type: type[Exception], name: str) -> Callable:
    def check(cond, message=None):
        _check_with(error_type, cond, message)

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"Raise ``{error_type.__name__}`` unless ``cond`` holds; ``message`` is a function that says why."
    return check


_check = _of(RuntimeError, "_check")
_check_index = _of(IndexError, "_check_index")
_check_value = _of(ValueError, "_check_value")
_check_type = _of(TypeError, "_check_type")
_check_not_implemented = _of(NotImplementedError, "_check_not_implemented")


def _check_is_size(i, message=None, *, max=None) -> None:
    """Raise ``RuntimeError`` unless ``i`` may be the size of a dimension, at most ``max``."""
    _check(i >= 0, message)
    if max is not None:
        _check(i <= max, message)


def _check_tensor_all_with(error_type: type[Exception], cond: Tensor, message=None) -> None:
    """Raise ``error_type`` unless all elements of a bool tensor hold."""
    if not isinstance(cond, Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype is not dtypes.bool_:
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check_with(error_type, cond._array().all().item(), message)


def _check_tensor_all(cond, message=None) -> None:
    """Raise ``RuntimeError`` unless all elements of a bool tensor hold."""
    _check_tensor_all_with(RuntimeError, cond, message)


__all__ = [
    "_check", "_check_index", "_check_is_size", "_check_not_implemented", "_check_tensor_all", "_check_tensor_all_with",
    "_check_type", "_check_value", "_check_with",
]  # fmt: skip
