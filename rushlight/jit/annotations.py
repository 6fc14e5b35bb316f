"""Owns ``torch.jit.annotations``: the types that annotations of model code name.

Imports typing and _errors.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from .._errors import missing_name


class _Broadcasting:
    """``BroadcastingListN[T]``: one T, or a list of N."""

    def __init__(self, size: int):
        self._size = size

    def __getitem__(self, of: Any) -> Any:
        return Union[of, tuple[(of,) * self._size]]  # noqa: UP007

    def __repr__(self) -> str:
        return f"torch.jit.annotations.BroadcastingList{self._size}"


BroadcastingList1 = _Broadcasting(1)
BroadcastingList2 = _Broadcasting(2)
BroadcastingList3 = _Broadcasting(3)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "Any",
    "BroadcastingList1",
    "BroadcastingList2",
    "BroadcastingList3",
    "Dict",
    "List",
    "Optional",
    "Tuple",
    "Union",
]
