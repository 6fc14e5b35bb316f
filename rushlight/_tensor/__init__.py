"""Owns the cell that a tensor is: storage, views, the Tensor class and its printing.

May import the tape, dtypes and devices; imports no operator.
"""

from . import gradients

__all__ = ["gradients"]
