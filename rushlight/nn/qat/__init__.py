"""Owns ``torch.nn.qat``, the older name of ``torch.ao.nn.qat``; re-exports only.

May import ao.
"""

from ...ao.nn.qat import *
from . import dynamic as dynamic
from . import modules as modules
