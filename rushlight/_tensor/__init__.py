"""Owns the cell that a tensor is: storage, views, the Tensor class and its printing.

May import the tape, dtypes and devices; imports no operator.
"""
