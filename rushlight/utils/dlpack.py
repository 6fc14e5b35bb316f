"""Owns ``torch.utils.dlpack``; re-exports only.

May import the operators.
"""

from ..ops.creation import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
