"""Owns ``torch.nn.qat.modules``, the older name of ``torch.ao.nn.qat.modules``; re-exports only.

May import ao.
"""

from ...ao.nn.qat.modules import *
