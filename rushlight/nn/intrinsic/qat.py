"""Owns ``torch.nn.intrinsic.qat``, the older name of ``torch.ao.nn.intrinsic.qat``; re-exports only.

May import ao.
"""

from ...ao.nn.intrinsic.qat import *
