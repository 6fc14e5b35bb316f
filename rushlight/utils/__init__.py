"""Owns the ``rushlight.utils`` namespace; re-exports only.

May import rushlight.utils.data.
"""

from . import data

__all__ = ["data"]
