"""Owns the names of ``torch._dynamo``, torch's tracer, that programs call around ``torch.compile``.

May import compiler and _errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors import missing_name
from ..compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset

is_dynamo_compiling = is_compiling


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Accepted: where a tensor lies does not matter here, since compiled programs take their state as inputs.

    Args:
        t: the tensor.
        guard: whether a move would compile again; there is nothing that moves.
    """


def mark_static(t: Any, index: Any = None) -> None:
    """Accepted: every size is fixed in a compiled program; another size compiles another.

    Args:
        t: the tensor.
        index: which dimensions.
    """


def __getattr__(name: str) -> Any:
    if name == "utils":
        return import_module(f"{__name__}.utils")
    raise missing_name(__name__, name)


__all__ = [
    "allow_in_graph", "assume_constant_result", "disable", "is_compiling", "is_dynamo_compiling", "mark_static",
    "mark_static_address", "reset",
]  # fmt: skip
