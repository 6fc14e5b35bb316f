"""Owns ``torch.fx.proxy``, where programs look for what a tracer passes around; re-exports only.

May import the file above it.
"""

from . import Proxy

__all__ = ["Proxy"]
