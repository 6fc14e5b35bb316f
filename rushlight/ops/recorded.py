"""Owns ``torch.ops.profiler``: the operators by which packages name a part of a program in the profiler's trace.

May import the profiler and the custom operators' names.
"""

from __future__ import annotations

from typing import Any

from .. import profiler
from . import _custom


def _record_function_enter(name: str, args: str | None = None) -> profiler.record_function:
    """Begin a part; gives what ends it.

    Args:
        name: what the trace shows.
        args: shown beside it.

    Example:
        >>> import rushlight as torch
        >>> part = torch.ops.profiler._record_function_enter("mine")
        >>> torch.ops.profiler._record_function_exit(part)
    """
    return profiler.record_function(name, args).__enter__()


def _record_function_exit(handle: profiler.record_function) -> None:
    """End a part.

    Args:
        handle: what ``_record_function_enter`` gave.
    """
    handle.__exit__(None, None, None)


def _offer() -> None:
    namespace = _custom.namespaces.setdefault("profiler", _custom.Namespace("profiler"))
    offered = {f.__name__: f for f in (_record_function_enter, _record_function_exit)}
    offered["_record_function_enter_new"] = _record_function_enter
    for name, function in offered.items():
        operator = _custom.find(f"profiler::{name}")
        operator.schema, operator.function, operator.fixed = name, function, True

        def call(held: _custom.CustomOperator, *args: Any, **kwargs: Any) -> Any:
            return held.function(*args, **kwargs)

        vars(namespace)[name] = _custom.OpOverload(operator, call)


_offer()

__all__: list[str] = []
