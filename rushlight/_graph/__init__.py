"""Owns the tape: nodes, the one reverse walk, and the modes that decide what is recorded.

May import dtypes and the standard library; knows nothing of tensors or operators.
"""
