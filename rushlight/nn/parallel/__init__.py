"""Owns the ``torch.nn.parallel`` namespace; re-exports only.

May import the files of this folder.
"""

from .data_parallel import DataParallel, data_parallel
from .distributed import DistributedDataParallel

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]
