"""Owns ``torch.nn.quantizable``, the older name of ``torch.ao.nn.quantizable``; re-exports only.

May import ao.
"""

from ...ao.nn.quantizable import *
from . import modules as modules
