"""Owns ``torch.nn.qat.dynamic``, the older name of ``torch.ao.nn.qat.dynamic``; re-exports only.

May import ao.
"""

from ...ao.nn.qat.dynamic import *
