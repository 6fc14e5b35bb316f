"""Owns the triangular factorizations: Cholesky, LU, QR and Householder products.

May import the checks of linear algebra, the door and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import linalg as lapack

from .. import dtypes
from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, op
from ._results import named
from .linalg_checks import (
    LinAlgError,
    adjoined,
    first_failure,
    need_matrices,
    need_square,
    transposed,
    write_named,
)

# -- Cholesky -------------------------------------------------------------------------------------------------------

_cholesky_result = named("linalg_cholesky_ex", "L", "info")


@op(name="linalg_cholesky_ex", method=False)
def _cholesky(input: Array, upper):
    # Only one triangle is read, but the gradient is that of a symmetric matrix, as in torch.
    fixed = jax.lax.stop_gradient(input)
    half = jnp.triu if upper else jnp.tril
    read = half(fixed) + adjoined(half(fixed, 1 if upper else -1))
    both = (input + adjoined(input)) / 2
    factor = lapack.cholesky(both + (read - jax.lax.stop_gradient(both)), symmetrize_input=False)
    failed = jnp.isnan(jax.lax.stop_gradient(factor)).any((-2, -1)).astype(jnp.int32)
    return adjoined(factor) if upper else factor, failed


def _minor(matrix, upper) -> int:
    """The order of the first leading minor that is not positive-definite."""
    symmetric = np.tril(matrix) + np.conj(np.tril(matrix, -1)).T
    if upper:
        symmetric = np.triu(matrix) + np.conj(np.triu(matrix, 1)).T
    for order in range(1, len(matrix) + 1):
        try:
            np.linalg.cholesky(symmetric[:order, :order])
        except np.linalg.LinAlgError:
            return order
    return len(matrix)


def cholesky_ex(A, *, upper=False, check_errors=False, out=None):
    """The Cholesky factor, and for each matrix 0 or the order of the minor that is not positive-definite.

    Returns:
        a named tuple of ``L`` and ``info``.
    """
    need_square("linalg.cholesky", A)
    factor, info = _cholesky(A, upper)
    found = first_failure(info, A.dim() > 2)
    if found is not None:
        host, codes = A._host().reshape(-1, *A.shape[-2:]), np.array(info._host()).reshape(-1)
        for i in np.flatnonzero(codes):
            codes[i] = _minor(host[i], upper)
        info = Tensor._of(jnp.asarray(codes.reshape(info.shape)), A.device)
        if check_errors:
            where, order = first_failure(info, A.dim() > 2) or ("", 0)
            raise LinAlgError(
                f"linalg.cholesky: {where}The factorization could not be completed because the input is not "
                f"positive-definite (the leading minor of order {order} is not positive-definite)."
            )
    return _cholesky_result(write_named("linalg_cholesky_ex", (factor, info), out))


def cholesky(A, *, upper=False, out=None):
    """The lower (upper) triangular matrix L with ``A = L L^H``.

    Raises:
        LinAlgError: a matrix is not positive-definite.

    Example:
        >>> import rushlight as torch
        >>> torch.linalg.cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
        tensor([[2., 0.],
                [1., 2.]])
    """
    factor = cholesky_ex(A, upper=upper, check_errors=True)[0]
    return factor if out is None else write_named("linalg_cholesky", (factor,), (out,))[0]


@op(name="cholesky_solve", method=False)
def _cholesky_solve(B: Array, L: Array, upper):
    lower = adjoined(L) if upper else L
    B, lower = _same_batch(B, lower)
    half = lapack.triangular_solve(lower, B, left_side=True, lower=True)
    return lapack.triangular_solve(lower, half, left_side=True, lower=True, transpose_a=True, conjugate_a=True)


def _same_batch(*matrices):
    lead = jnp.broadcast_shapes(*(x.shape[:-2] for x in matrices))
    return tuple(jnp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in matrices)


def cholesky_solve(B, L, upper=False, *, out=None):
    """The solution X of ``A X = B`` from the Cholesky factor of A."""
    for label, x in (("b", B), ("u", L)):
        if x.dim() < 2:
            raise RuntimeError(f"{label} should have at least 2 dimensions, but has {x.dim()} dimensions instead")
    return _cholesky_solve(B, L, upper, out=out)


@op(name="cholesky_inverse", method=False)
def _cholesky_inverse(L: Array, upper):
    eye = jnp.broadcast_to(jnp.eye(L.shape[-1], dtype=L.dtype), L.shape)
    return _cholesky_solve.fn(eye, L, upper)


def cholesky_inverse(L, upper=False, *, out=None):
    """The inverse of A from its Cholesky factor."""
    need_square("cholesky_inverse", L)
    return _cholesky_inverse(L, upper, out=out)


# -- LU -------------------------------------------------------------------------------------------------------------

_lu_factor_result = named("linalg_lu_factor", "LU", "pivots")
_lu_factor_ex_result = named("linalg_lu_factor_ex", "LU", "pivots", "info")
_lu_result = named("linalg_lu", "P", "L", "U")
_unpack_result = named("lu_unpack", "P", "L", "U")


def zero_pivot(factors):
    """For each matrix the position (from 1) of the first zero on the diagonal of U, or 0."""
    zero = jnp.diagonal(jax.lax.stop_gradient(factors), axis1=-2, axis2=-1) == 0
    if not zero.shape[-1]:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(zero.any(-1), jnp.argmax(zero, -1) + 1, 0).astype(jnp.int32)


@op(name="linalg_lu_factor_ex", method=False)
def _lu_factor(input: Array):
    factors, pivots, _ = lapack.lu(input)
    return factors, pivots.astype(jnp.int32) + 1, zero_pivot(factors)


def _need_pivot(name, pivot):
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


def _refuse_zero_pivot(name, info, batched) -> None:
    failed = first_failure(info, batched)
    if failed:
        raise RuntimeError(
            f"torch.linalg.{name}: {failed[0]}U[{failed[1]},{failed[1]}] is zero and using it on lu_solve would result "
            "in a division by zero. If you still want to perform the factorization, consider calling "
            "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """The compact LU factorization with pivots (from 1), and for each matrix 0 or where U has its first zero."""
    need_matrices("torch.linalg.lu_factor_ex", A)
    _need_pivot("linalg.lu_factor", pivot)
    found = _lu_factor(A)
    if check_errors:
        _refuse_zero_pivot("lu_factor_ex", found[2], A.dim() > 2)
    return _lu_factor_ex_result(write_named("linalg_lu_factor_ex", found, out))


def lu_factor(A, *, pivot=True, out=None):
    """The compact LU factorization with row pivots (from 1).

    Raises:
        RuntimeError: a zero on the diagonal of U.
    """
    need_matrices("torch.linalg.lu_factor", A)
    _need_pivot("linalg.lu_factor", pivot)
    found = _lu_factor(A)
    _refuse_zero_pivot("lu_factor", found[2], A.dim() > 2)
    return _lu_factor_result(write_named("linalg_lu_factor", found[:2], out))


def _unpacked(factors):
    m, n = factors.shape[-2:]
    k = min(m, n)
    lower = jnp.tril(factors[..., :, :k], -1) + jnp.eye(m, k, dtype=factors.dtype)
    return lower, jnp.triu(factors[..., :k, :])


def _permutation(pivots, m, dtype):
    """The permutation matrix of LAPACK's row swaps (from 0)."""
    order = lapack.lu_pivots_to_permutation(pivots, m)
    return transposed(jax.nn.one_hot(order, m, dtype=dtype))


@op(name="linalg_lu", method=False)
def _lu(input: Array):
    factors, pivots, _ = lapack.lu(input)
    return (_permutation(pivots, input.shape[-2], input.dtype), *_unpacked(factors))


def lu(A, *, pivot=True, out=None):
    """Permutation, unit lower and upper triangular matrices with ``A = P L U``."""
    need_matrices("linalg.lu", A)
    _need_pivot("linalg.lu_factor", pivot)
    return _lu_result(write_named("linalg_lu", _lu(A), out))


@op(name="lu_unpack", method=False)
def _lu_unpack(LU_data: Array, LU_pivots: Array):
    return (_permutation(LU_pivots - 1, LU_data.shape[-2], LU_data.dtype), *_unpacked(LU_data))


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """P, L and U from a compact factorization; what is not asked for is empty."""
    if LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by torch.linalg.lu_factor"
        )
    P, L, U = _lu_unpack(LU_data, LU_pivots)
    empty = LU_data.new_empty(0)
    found = (P if unpack_pivots else empty, *((L, U) if unpack_data else (empty, empty)))
    return _unpack_result(write_named("lu_unpack", found, out))


# -- QR -------------------------------------------------------------------------------------------------------------

_qr_result = named("linalg_qr", "Q", "R")
_geqrf_result = named("geqrf", "a", "tau")


@op(name="linalg_qr", method=False)
def _qr(input: Array, mode):
    m, n = input.shape[-2:]
    if mode == "r":
        return _reduced(input)[1]
    if mode == "complete" and m > n:
        return _complete(input)
    return _reduced(input)


def _reduced(x):
    m, n = x.shape[-2:]
    if m >= n:
        return tuple(jnp.linalg.qr(x, mode="reduced"))
    # Q belongs to the first m columns alone, which keeps the derivative within what jax has.
    Q, R = jnp.linalg.qr(x[..., :m], mode="reduced")
    return Q, jnp.concatenate([R, adjoined(Q) @ x[..., m:]], -1)


@jax.custom_jvp
def _complete(x):
    return tuple(jnp.linalg.qr(x, mode="complete"))


@_complete.defjvp
def _no_complete_derivative(primals, tangents):
    raise RuntimeError(
        "The QR decomposition is not differentiable when mode='complete' and nrows > ncols. Use mode='reduced'."
    )


def qr(A, mode="reduced", *, out=None):
    """An orthonormal Q and an upper triangular R with ``A = Q R``.

    Args:
        mode: ``"reduced"``, ``"complete"`` (square Q), or ``"r"`` (Q is left empty).
    """
    need_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    found = _qr(A, mode)
    return _qr_result(write_named("linalg_qr", (A.new_empty(0), found) if mode == "r" else found, out))


@op(name="geqrf", method=False, differentiable=False)
def _geqrf(input: Array):
    compact, tau = jnp.linalg.qr(input, mode="raw")
    return transposed(compact), tau


def geqrf(input, *, out=None):
    """LAPACK's compact QR: R with the Householder vectors below it, and their factors."""
    need_matrices("torch.geqrf", input, arg="input")
    return _geqrf_result(write_named("geqrf", _geqrf(input), out))


@op(name="linalg_householder_product", method=False)
def _householder_product(A: Array, tau: Array):
    m, n = A.shape[-2:]
    start = jnp.broadcast_to(jnp.eye(m, n, dtype=A.dtype), A.shape)
    return _reflect(A, tau, start, reverse=True)


def _reflect(A, tau, onto, reverse=False, adjoint=False):
    """Apply the reflections ``I - tau v v^H`` from the left, the last first if ``reverse``."""
    m, k = A.shape[-2], tau.shape[-1]
    V = jnp.tril(A[..., :, :k], -1) + jnp.eye(m, k, dtype=A.dtype)

    def step(Q, item):
        v, t = item
        t = jnp.conj(t) if adjoint else t
        return Q - t[..., None, None] * v[..., :, None] * (jnp.conj(v)[..., None, :] @ Q), None

    items = jnp.moveaxis(V, -1, 0), jnp.moveaxis(tau, -1, 0)
    return jax.lax.scan(step, onto, items, reverse=reverse)[0] if k else onto


def householder_product(A, tau, *, out=None):
    """The first columns of a product of Householder matrices, whose vectors stand below the diagonal of A."""
    name = "torch.linalg.householder_product"
    if A.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if A.shape[-2] < A.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if A.shape[-1] < tau.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if A.dim() - tau.dim() != 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.dim()} and "
            f"input.ndim is equal to {A.dim()}"
        )
    if A.shape[:-2] != tau.shape[:-1]:
        raise RuntimeError(f"{name}: Expected batch of tau equal to batch of input; received {list(tau.shape)}")
    if tau.dtype is not A.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {scalar_name(tau.dtype)} does not match input dtype {scalar_name(A.dtype)}"
        )
    return _householder_product(A, tau, out=out)


@op(name="ormqr", method=False)
def _ormqr(input: Array, tau: Array, other: Array, left, transpose):
    if left:
        return _reflect(input, tau, other, reverse=not transpose, adjoint=transpose)
    # C Q = (Q^H C^H)^H
    return adjoined(_reflect(input, tau, adjoined(other), reverse=transpose, adjoint=not transpose))


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """``other`` multiplied by the full Q of a compact QR, from the left or the right, as it is or adjoint."""
    for label, x in (("input", input), ("other", other)):
        if x.dim() < 2:
            raise RuntimeError(f"torch.ormqr: {label} must have at least 2 dimensions.")
    size = other.shape[-2 if left else -1]
    if size != input.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2]")
    if tau.shape[-1] > input.shape[-1] or size < tau.shape[-1]:
        raise RuntimeError(
            f"torch.ormqr: other.shape[{-2 if left else -1}] must be greater than or equal to tau.shape[-1]"
        )
    return _ormqr(input, tau, other, left, transpose, out=out)
