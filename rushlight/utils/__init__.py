"""Owns the ``rushlight.utils`` namespace; re-exports only.

May import the files of this folder.
"""

from . import checkpoint, data, hooks

__all__ = ["checkpoint", "data", "hooks"]
