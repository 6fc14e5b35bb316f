"""Owns the named tuples that operators with several results give (``torch.return_types``).

May import only the standard library.
"""

from __future__ import annotations

from typing import Any


def named(name: str, *fields: str) -> Any:
    """A tuple class with named fields, printed as torch prints it.

    Example:
        >>> named("max", "values", "indices")((1, 0))
        torch.return_types.max(
        values=1,
        indices=0)
    """

    class Result(tuple):
        __slots__ = ()
        _fields = fields
        n_fields = n_sequence_fields = len(fields)
        n_unnamed_fields = 0

        def __repr__(self) -> str:
            inner = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self))
            return f"torch.return_types.{name}(\n{inner})"

        def __reduce__(self):
            return _again, (name, tuple(self))

    for i, field in enumerate(fields):
        setattr(Result, field, property(lambda self, i=i: self[i]))
    Result.__name__ = Result.__qualname__ = name
    Result.__module__ = "torch.return_types"
    _CLASSES[name] = Result
    return Result


_CLASSES: dict = {}


def _again(name, values):
    return _CLASSES[name](values)
