"""Owns nothing: ``torch.signal``. May import the operators."""

from . import windows

__all__ = ["windows"]
