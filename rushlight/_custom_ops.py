"""Owns ``torch._custom_ops``, the older name of ``torch.library``; re-exports only.

May import library.
"""

from .library import custom_op, impl
from .library import register_fake as impl_abstract

__all__ = ["custom_op", "impl", "impl_abstract"]
