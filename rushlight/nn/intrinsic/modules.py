"""Owns ``torch.nn.intrinsic.modules``, the older name of ``torch.ao.nn.intrinsic.modules``; re-exports only.

May import ao.
"""

from ...ao.nn.intrinsic.modules import *
from ...ao.nn.intrinsic.modules import fused as fused
