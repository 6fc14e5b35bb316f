"""Owns how layers show their options, and the tuples of sizes they take.

May import nothing.
"""

from __future__ import annotations

from typing import Any


def shown(module: Any, *names: str) -> str:
    """``name=value`` for each of these attributes, for ``extra_repr``."""
    return ", ".join(f"{name}={getattr(module, name)}" for name in names)


def with_inplace(module: Any, *names: str) -> str:
    """As ``shown``, with ``inplace=True`` at the end where it is set."""
    return shown(module, *names, *(("inplace",) if module.inplace else ()))
