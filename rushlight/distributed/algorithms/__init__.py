"""Owns the folder ``torch.distributed.algorithms``; re-exports only.

May import this folder.
"""

from . import _checkpoint as _checkpoint
from . import join as join
