"""Owns nothing: ``torch.functional``, an old home of operators that are now at the top level.

May import the operators.
"""

from .ops.compose import meshgrid
from .ops.contractions import chain_matmul, einsum, tensordot
from .ops.join import atleast_1d, atleast_2d, atleast_3d, block_diag, cartesian_prod, split
from .ops.linalg_old import lu
from .ops.norms import cdist, norm
from .ops.positions import unravel_index
from .ops.sorting import unique, unique_consecutive
from .ops.spectral import istft, stft
from .ops.strided import broadcast_shapes, broadcast_tensors

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "broadcast_tensors", "cartesian_prod",
    "cdist", "chain_matmul", "einsum", "istft", "lu", "meshgrid", "norm", "split", "stft", "tensordot", "unique",
    "unique_consecutive", "unravel_index",
]  # fmt: skip
