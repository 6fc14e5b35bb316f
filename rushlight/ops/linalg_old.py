"""Owns the linear algebra that torch offers at the top level and as methods, with its old signatures.

May import the factorizations and solutions, and the door.
"""

from __future__ import annotations

from . import linalg_factor, linalg_rank, linalg_solve, linalg_spectra
from ._op import attach
from ._results import named
from .linalg_checks import need_matrices, write_named
from .linalg_factor import cholesky_inverse, cholesky_solve, geqrf, lu_unpack, ormqr
from .linalg_factor import householder_product as orgqr
from .linalg_solve import det, logdet, matrix_exp, matrix_power
from .random import randn

_qr_result, _svd_result = named("qr", "Q", "R"), named("svd", "U", "S", "V")
_slogdet_result = named("slogdet", "sign", "logabsdet")
inverse = linalg_solve.inv


def cholesky(input, upper=False, *, out=None):
    """torch's old name of ``linalg.cholesky``; reads the upper triangle where ``upper`` is True."""
    return linalg_factor.cholesky(input, upper=upper, out=out)


def lu(A, pivot=True, get_infos=False, out=None):
    """torch's old LU: (LU, pivots) or (LU, pivots, infos)."""
    found = linalg_factor.lu_factor_ex(A, pivot=pivot)
    return write_named("lu", tuple(found) if get_infos else tuple(found[:2]), out)


def lu_solve(b, LU_data, LU_pivots, *, out=None):
    """torch's old form of ``linalg.lu_solve``."""
    return linalg_solve.lu_solve(LU_data, LU_pivots, b, out=out)


def qr(input, some=True, *, out=None):
    """torch's old QR; ``some`` is the reduced form."""
    return _qr_result(linalg_factor.qr(input, "reduced" if some else "complete", out=out))


def svd(input, some=True, compute_uv=True, *, out=None):
    """torch's old SVD, with V instead of its adjoint; ``some`` is the reduced form."""
    need_matrices("linalg.svd", input)
    if not compute_uv:
        m, n = input.shape[-2:]
        lead = input.shape[:-2]
        found = input.new_zeros(*lead, m, m), linalg_spectra.svdvals(input), input.new_zeros(*lead, n, n)
    else:
        U, S, Vh = linalg_spectra._svd(input, not some)
        found = U, S, Vh.mH
    return _svd_result(write_named("svd", found, out))


_triangular_result = named("triangular_solve", "solution", "cloned_coefficient")


def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """torch's old solution of triangular systems, with a copy of the coefficients."""
    if b.dim() < 2:
        raise RuntimeError(
            f"torch.triangular_solve: Expected b to have at least 2 dimensions, but it has {b.dim()} dimensions instead"
        )
    if A.dim() < 2:
        raise RuntimeError(
            f"torch.triangular_solve: Expected A to have at least 2 dimensions, but it has {A.dim()} dimensions instead"
        )
    matrix = A.mT if transpose else A
    found = linalg_solve.solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    lead = found.shape[:-2]
    return _triangular_result(write_named("triangular_solve", (found, A.expand(*lead, *A.shape[-2:]).clone()), out))


def slogdet(input, *, out=None):
    """torch's old name of ``linalg.slogdet``."""
    return _slogdet_result(linalg_solve.slogdet(input, out=out))


def pinverse(input, rcond=1e-15):
    """torch's old name of ``linalg.pinv``."""
    return linalg_rank.pinv(input, rtol=rcond)


# -- by random projection -------------------------------------------------------------------------------------------


def _basis(A, q, niter):
    """Orthonormal columns that nearly span the range of A: Halko, Martinsson and Tropp (2011), algorithm 4.4."""
    start = randn(A.shape[-1], q, dtype=A.dtype, device=A.device)
    Q = linalg_factor.qr(A @ start).Q
    for _ in range(niter):
        Q = linalg_factor.qr(A.mH @ Q).Q
        Q = linalg_factor.qr(A @ Q).Q
    return Q


def vander(x, N=None, increasing=False):
    """The powers of every element of a vector, from the highest down, or up if ``increasing``."""
    if x.dim() != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    count = x.shape[0] if N is None else N
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    powers = linalg_solve._vander(x, count) if count else x.new_empty(x.shape[0], 0)
    return powers if increasing else powers.flip(1)


def svd_lowrank(A, q=6, niter=2, M=None):
    """The ``q`` largest singular values with their vectors, approximately, from a random projection."""
    m, n = A.shape[-2:]
    whole = A if M is None else A - M
    wide = m < n
    if wide:
        whole = whole.mH
    Q = _basis(whole, q, niter)
    U, S, Vh = linalg_spectra.svd(Q.mH @ whole, full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q=None, center=True, niter=2):
    """The main components of rows, approximately: ``svd_lowrank`` of the (centred) matrix."""
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)


# -- what torch took away -------------------------------------------------------------------------------------------


def _removed(name, advice):
    def function(*args, **kwargs):
        raise RuntimeError(f"This function was deprecated since version 1.9 and is now removed. {advice}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed from torch. {advice}"
    return function


eig = _removed("eig", "Use torch.linalg.eig or torch.linalg.eigvals, which give complex tensors.")
lstsq = _removed("lstsq", "Use torch.linalg.lstsq, whose arguments are reversed.")
matrix_rank = _removed("matrix_rank", "Use torch.linalg.matrix_rank.")
solve = _removed("solve", "Use torch.linalg.solve, whose arguments are reversed.")
symeig = _removed("symeig", "Use torch.linalg.eigh or torch.linalg.eigvalsh.")
for _name, _function in {"eig": eig, "lstsq": lstsq, "solve": solve, "symeig": symeig}.items():
    attach(_name, _function)
for _function in (
    cholesky, cholesky_inverse, cholesky_solve, det, geqrf, inverse, logdet, lu_solve, matrix_exp, matrix_power,
    ormqr, pinverse, qr, slogdet, svd, triangular_solve,
):  # fmt: skip
    attach("inverse" if _function is inverse else _function.__name__, _function)
attach("orgqr", orgqr)
attach("lu", lu)


__all__ = [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "eig", "geqrf", "inverse", "logdet", "lstsq", "lu",
    "lu_solve", "lu_unpack", "matrix_exp", "matrix_power", "matrix_rank", "orgqr", "ormqr", "pca_lowrank", "pinverse",
    "qr", "slogdet", "solve", "svd", "svd_lowrank", "symeig", "triangular_solve", "vander",
]  # fmt: skip
