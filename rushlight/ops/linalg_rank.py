"""Owns pseudoinverses and what depends on the rank of a matrix: least squares, condition numbers.

May import norms, solutions and spectra of matrices, the door and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .. import dtypes
from .._tensor.tensor import Tensor
from ._op import Array, op
from ._results import named
from .creation import empty
from .linalg_checks import adjoined, need_matrices, need_square, write_named
from .linalg_factor import _same_batch
from .linalg_solve import _inv
from .linalg_spectra import svdvals
from .norms import matrix_norm
from .search import on_host

# -- pseudoinverse and rank -----------------------------------------------------------------------------------------


@jax.custom_jvp
def _pinv_of(A, floor):
    """The pseudoinverse, singular values up to ``floor`` (one for each matrix) counting as zero."""
    U, S, Vh = jnp.linalg.svd(A, full_matrices=False)
    keep = floor[..., None] < S
    inverse = jnp.where(keep, 1 / jnp.where(keep, S, 1), 0).astype(A.dtype)
    return adjoined(Vh) @ (inverse[..., None] * adjoined(U))


@_pinv_of.defjvp
def _pinv_jvp(primals, tangents):
    """Golub and Pereyra, "The Differentiation of Pseudo-Inverses" (1973), for constant rank."""
    (A, floor), (dA, _) = primals, tangents
    P = _pinv_of(A, floor)
    m, n = A.shape[-2:]
    PH, dAH = adjoined(P), adjoined(dA)
    out = -P @ dA @ P + P @ PH @ dAH @ (jnp.eye(m) - A @ P) + (jnp.eye(n) - P @ A) @ dAH @ PH @ P
    return P, out.astype(P.dtype)


def _sizes_of(A, hermitian):
    S = jnp.abs(jnp.linalg.eigvalsh(A)) if hermitian else jnp.linalg.svd(A, compute_uv=False)
    return jax.lax.stop_gradient(S)


def _floor(S, shape, atol, rtol):
    """What torch calls the tolerance: the larger of ``atol`` and ``rtol`` times the largest singular value."""
    largest = jnp.max(S, -1, initial=0)
    if rtol is None:
        default = jnp.finfo(S.dtype).eps * max(shape[-2:])
        rtol = default if atol is None else jnp.where(atol > 0, 0, default)
    return jnp.maximum(0 if atol is None else atol, rtol * largest).astype(S.dtype)


@op(name="linalg_pinv", method=False)
def _pinv(A: Array, atol: Array | None, rtol: Array | None, hermitian):
    A_ = A
    if hermitian:
        # Only one triangle is read, but the gradient is that of a Hermitian matrix.
        both, fixed = (A + adjoined(A)) / 2, jax.lax.stop_gradient(A)
        A_ = both + (jnp.tril(fixed) + adjoined(jnp.tril(fixed, -1)) - jax.lax.stop_gradient(both))
    floor = _floor(_sizes_of(jax.lax.stop_gradient(A_), hermitian), A.shape, atol, rtol)
    if not A.size:
        return jnp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    return _pinv_of(A_, jnp.broadcast_to(floor, A.shape[:-2]))


def pinv(A, *args, atol=None, rtol=None, hermitian=False, out=None, rcond=None):
    """The Moore-Penrose pseudoinverse.

    Args:
        atol, rtol: singular values up to ``max(atol, rtol * largest)`` count as zero.
        hermitian: A is Hermitian; only its lower triangle is read.
    """
    need_matrices("linalg.pinv", A)
    rtol = args[0] if args else rcond if rcond is not None else rtol
    hermitian = args[1] if len(args) > 1 else hermitian
    if hermitian:
        need_square("linalg.pinv", A)
    return _pinv(A, atol, rtol, hermitian, out=out)


@op(name="linalg_matrix_rank", method=False, differentiable=False)
def _matrix_rank(A: Array, atol: Array | None, rtol: Array | None, hermitian):
    S = _sizes_of(A, hermitian)
    return jnp.sum(_floor(S, A.shape, atol, rtol)[..., None] < S, -1)


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """How many singular values exceed ``max(atol, rtol * largest)``."""
    need_matrices("linalg.matrix_rank", A)
    if isinstance(hermitian, (float, Tensor)):
        raise TypeError("matrix_rank(): argument 'hermitian' must be bool")
    if hermitian:
        need_square("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    return _matrix_rank(A, atol, rtol, hermitian, out=out)


def cond(A, p=None, *, out=None):
    """The condition number in a norm: 2 by default, from the singular values; see ``matrix_norm`` for the others."""
    need_matrices("linalg.cond", A)
    if p is None or (not isinstance(p, str) and abs(p) == 2):
        S = svdvals(A)
        large, small = S[..., 0], S[..., -1]
        found = small / large if p == -2 else large / small
    else:
        if isinstance(p, str) and p not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
        need_square(f"linalg.cond({p})", A)
        inverse, info = _inv(A)
        found = matrix_norm(A, p) * matrix_norm(inverse, p)
        found = found.masked_fill(info != 0, math.inf)
    return found if out is None else write_named("linalg_cond", (found,), (out,))[0]


# -- least squares --------------------------------------------------------------------------------------------------

_lstsq_result = named("linalg_lstsq", "solution", "residuals", "rank", "singular_values")


@op(name="linalg_lstsq", method=False)
def _lstsq(A: Array, B: Array, rcond, residuals):
    S = jnp.linalg.svd(jax.lax.stop_gradient(A), compute_uv=False)
    floor = rcond * jnp.max(S, -1, keepdims=True, initial=0)
    rank = jnp.sum(floor < S, -1)
    A_, B_ = _same_batch(A, B)
    solution = _pinv_of(A_, jnp.broadcast_to(floor[..., 0], A_.shape[:-2])) @ B_
    apart = A_ @ solution - B_
    squares = jnp.sum(jnp.square(apart.real) + jnp.square(apart.imag) if jnp.iscomplexobj(apart) else apart**2, -2)
    return solution, squares if residuals else jnp.zeros(0, squares.dtype), rank, S


def lstsq(A, B, rcond=None, *, driver=None, out=None):
    """The X for which ``A X - B`` is smallest, of all such the smallest.

    Args:
        rcond: singular values below this times the largest count as zero.
        driver: LAPACK's routine (``"gelsy"`` unless given); it decides which further results are filled.

    Returns:
        a named tuple of ``solution``, ``residuals``, ``rank`` and ``singular_values``.
    """
    need_matrices("torch.linalg.lstsq", A, arg="input")
    driver = driver or "gelsy"
    if driver not in ("gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    if B.dim() < 1:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError("torch.linalg.lstsq: Expected input and other to have the same dtype")
    vector = A.dim() - B.dim() == 1 and B.shape == A.shape[:-1]
    other = B.unsqueeze(-1) if vector else B
    if other.dim() < 2 or A.shape[-2] != other.shape[-2]:
        raise RuntimeError(
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2)"
            if not vector
            else "torch.linalg.lstsq: input.size(-2) should match other.size(-1)"
        )
    m, n = A.shape[-2:]
    cut = float(jnp.finfo(A.dtype.np).eps) * max(m, n) if rcond is None else float(rcond)
    solution, residuals, rank, S = _lstsq(A, other, cut, m > n and driver != "gelsy")
    if driver in ("gelsd", "gelss") and on_host(rank) and rank._host().min(initial=n) < n:
        residuals = residuals[:0].reshape(-1)
    nothing = A.real.new_empty(0) if A.is_complex() else A.new_empty(0)
    found = (
        solution.squeeze(-1) if vector else solution,
        residuals,
        empty(0, dtype=dtypes.int64) if driver == "gels" else rank,
        S.detach() if driver in ("gelsd", "gelss") else nothing,
    )
    return _lstsq_result(write_named("linalg_lstsq", found, out))
