"""Owns the former name of a file of ``torch.distributed``; re-exports only.

May import that file.
"""

from ..device_mesh import *  # noqa: F403
