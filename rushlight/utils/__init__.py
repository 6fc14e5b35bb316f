"""Owns the ``rushlight.utils`` namespace; re-exports only.

May import the files of this folder.
"""

from . import data, hooks

__all__ = ["data", "hooks"]
