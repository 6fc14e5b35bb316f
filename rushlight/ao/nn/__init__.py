"""Owns the folder ``torch.ao.nn``; re-exports only.

May import the folder below.
"""

from . import quantized as quantized
