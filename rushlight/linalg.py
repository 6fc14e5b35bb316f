"""Owns nothing: ``torch.linalg``'s names for the operators in ``ops``. May import the operators.

Example:
    >>> import rushlight as torch
    >>> torch.linalg.det(torch.tensor([[2.0, 1.0], [0.0, 3.0]]))
    tensor(6.)
"""

from .ops._synonyms import export as _export
from .ops.contractions import multi_dot
from .ops.linalg_checks import LinAlgError
from .ops.linalg_factor import (
    cholesky,
    cholesky_ex,
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
)
from .ops.linalg_rank import cond, lstsq, matrix_rank, pinv
from .ops.linalg_solve import (
    det,
    inv,
    inv_ex,
    lu_solve,
    matrix_exp,
    matrix_power,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
    vander,
)
from .ops.linalg_solve import linalg_diagonal as diagonal
from .ops.linalg_spectra import eig, eigh, eigvals, eigvalsh, svd, svdvals
from .ops.linalg_symmetric import ldl_factor, ldl_factor_ex, ldl_solve
from .ops.norms import linalg_norm as norm
from .ops.norms import matrix_norm, vector_norm
from .ops.products import linalg_cross as cross
from .ops.products import matmul, vecdot

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot",
    "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv",
    "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip

_export(globals())
