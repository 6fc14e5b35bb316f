"""Owns the DataLoader's machinery under torch's path ``utils.data._utils``; re-exports only.

May import this folder.
"""

from . import collate, fetch, pin_memory, worker

__all__ = ["collate", "fetch", "pin_memory", "worker"]
