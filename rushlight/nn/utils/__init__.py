"""Owns the ``torch.nn.utils`` namespace; re-exports only. May import the files beside it."""

from . import rnn

__all__ = ["rnn"]
