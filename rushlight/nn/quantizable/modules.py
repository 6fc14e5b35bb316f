"""Owns ``torch.nn.quantizable.modules``, the older name of ``torch.ao.nn.quantizable.modules``; re-exports only.

May import ao.
"""

from ...ao.nn.quantizable.modules import *
