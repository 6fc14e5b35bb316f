"""Owns what stands in for parts of PyTorch that have nothing to do here: a mark for readers, TorchScript's objects.

May import nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def compatibility(is_backward_compatible: bool) -> Callable[[_T], _T]:
    """A decorator that leaves a function as it is: the mark is for readers.

    Args:
        is_backward_compatible: whether the function stays as it is.

    Example:
        >>> compatibility(is_backward_compatible=True)(len) is len
        True
    """
    return lambda marked: marked


class ScriptObject:
    """Nothing is one: TorchScript's objects are not there."""


__all__ = ["ScriptObject", "compatibility"]
