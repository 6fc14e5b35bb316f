"""Owns the folder ``torch.distributed.algorithms``; re-exports only.

May import the file below.
"""

from . import join as join
