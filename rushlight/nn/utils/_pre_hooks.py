"""Owns the search for the hooks by which weight norm, spectral norm and pruning attach themselves to a module.

May import nothing.
"""

from __future__ import annotations

from typing import Any


def attached(table: Any, kind: type) -> list[tuple[int, Any]]:
    """The ids and functions of the hooks of one class in a hook table."""
    functions = [(key, getattr(function, "hook", function)) for key, function in table.items()]
    return [(key, function) for key, function in functions if isinstance(function, kind)]


def first_named(table: Any, kind: type, name: str) -> tuple[int, Any] | None:
    """The hook of one class for one parameter."""
    return next(((key, hook) for key, hook in attached(table, kind) if hook.name == name), None)
