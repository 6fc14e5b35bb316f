"""Owns the former name of a file of ``torch.distributed``; re-exports only.

May import that file.
"""

from ..tensor.placement_types import *  # noqa: F403
