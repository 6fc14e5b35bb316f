"""Owns the folder ``torch.distributed.algorithms._checkpoint``; re-exports only.

May import the file below.
"""

from . import checkpoint_wrapper as checkpoint_wrapper
