"""Owns ``torch.nn.quantized``, the older name of ``torch.ao.nn.quantized``; re-exports only.

May import ao.
"""

from ..ao.nn.quantized import FloatFunctional

__all__ = ["FloatFunctional"]
