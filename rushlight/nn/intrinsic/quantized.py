"""Owns ``torch.nn.intrinsic.quantized``, the older name of ``torch.ao.nn.intrinsic.quantized``; re-exports only.

May import ao.
"""

from ...ao.nn.intrinsic.quantized import *
