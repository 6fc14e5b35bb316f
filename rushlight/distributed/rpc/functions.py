"""Owns the mark of functions that answer a call later, through a future.

Imports _errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..._errors import missing_name


def async_execution(fn: Callable) -> Callable:
    """Mark a function that gives a ``Future``: who calls it remotely gets what the future will hold.

    The thread that runs the function is free as soon as it returns. With ``staticmethod`` or ``classmethod``, this is
    the inner decorator.

    Args:
        fn: the function.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.functions.async_execution(abs)(-3)
        3
    """

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    wrapper._wrapped_async_rpc_function = fn  # type: ignore[attr-defined]
    return wrapper


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["async_execution"]
