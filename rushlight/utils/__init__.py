"""Owns the ``rushlight.utils`` namespace; re-exports only.

May import the files of this folder.
"""

from importlib import import_module as _import_module

from .._errors import missing_name as _missing_name
from . import checkpoint, data, hooks

# Files that load on first use, as attributes or by import.
_LAZY = frozenset({"_foreach_utils", "_pytree", "dlpack", "model_zoo"})


def __getattr__(name: str):
    if name in _LAZY:
        return _import_module(f"{__name__}.{name}")
    raise _missing_name(__name__, name)


__all__ = ["checkpoint", "data", "hooks"]
