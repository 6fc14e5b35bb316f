"""Owns solutions of linear systems and what derives from them: inverses, determinants, powers.

May import the factorizations and products, the door and jax.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.lax import linalg as lapack

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, op
from ._results import named
from .linalg_checks import (
    LinAlgError,
    adjoined,
    first_failure,
    need_inexact,
    need_matrices,
    need_square,
    transposed,
    write_named,
)
from .linalg_factor import _permutation, _same_batch, _unpacked, zero_pivot
from .products import matmul
from .shape import wrap_dim

# -- systems --------------------------------------------------------------------------------------------------------

_solve_ex_result = named("linalg_solve_ex", "result", "info")
_inv_ex_result = named("linalg_inv_ex", "inverse", "info")


def _singular(x):
    return zero_pivot(lapack.lu(jax.lax.stop_gradient(x))[0])


@op(name="linalg_solve_ex", method=False)
def _solve(A: Array, B: Array, left, vector):
    info = _singular(A)
    B = B[..., None] if vector else B
    if not left:
        A, B = transposed(A), transposed(B)
    A, B = _same_batch(A, B)
    out = jnp.linalg.solve(A, B)
    out = out if left else transposed(out)
    return out[..., 0] if vector else out, info


def _is_vector(A, B):
    """Whether B is a batch of vectors rather than of matrices, by torch's rule."""
    return B.dim() == 1 or (A.dim() - 1 == B.dim() and B.shape == A.shape[:-1])


def _check_solve(name, A, B, left):
    need_square(name, A)
    need_inexact(name, B)
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {scalar_name(A.dtype)} and B of "
            f"type {scalar_name(B.dtype)} instead"
        )
    vector = _is_vector(A, B)
    if vector and not left:
        raise RuntimeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False")
    rows = B.shape[-1] if vector else B.shape[-2 if left else -1]
    if rows != A.shape[-1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({A.shape[-2]}x{A.shape[-1]} and {'x'.join(map(str, B.shape[-2:]))})"
        )
    return vector


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """The solution, and for each matrix 0 or where its factorization has the first zero."""
    found = _solve(A, B, left, _check_solve("linalg.solve", A, B, left))
    _refuse_singular("torch.linalg.solve_ex", found[1], A, check_errors)
    return _solve_ex_result(write_named("linalg_solve_ex", found, out))


def _refuse_singular(name, info, A, check=True):
    failed = first_failure(info, A.dim() > 2) if check else None
    if failed:
        raise LinAlgError(f"{name}: {failed[0]}The solver failed because the input matrix is singular.")


def solve(A, B, *, left=True, out=None):
    """The X of ``A X = B`` (``X A = B`` where ``left`` is False), for batches that broadcast.

    Raises:
        LinAlgError: a matrix is singular.

    Example:
        >>> import rushlight as torch
        >>> torch.linalg.solve(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([2.0, 2.0]))
        tensor([1.0000, 0.5000])
    """
    found, info = _solve(A, B, left, _check_solve("linalg.solve", A, B, left))
    _refuse_singular("torch.linalg.solve", info, A)
    return found if out is None else write_named("linalg_solve", (found,), (out,))[0]


@op(name="linalg_inv_ex", method=False)
def _inv(A: Array):
    unit = jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)
    return jnp.linalg.solve(A, unit), _singular(A)


def inv_ex(A, *, check_errors=False, out=None):
    """The inverse, and for each matrix 0 or where its factorization has the first zero."""
    need_square("linalg.inv", A)
    found = _inv(A)
    if check_errors:
        _refuse_no_inverse(found[1], A)
    return _inv_ex_result(write_named("linalg_inv_ex", found, out))


def _refuse_no_inverse(info, A):
    failed = first_failure(info, A.dim() > 2)
    if failed:
        raise LinAlgError(
            f"linalg.inv: {failed[0]}The diagonal element {failed[1]} is zero, the inversion could not be completed "
            "because the input matrix is singular."
        )


def inv(A, *, out=None):
    """The inverse of square matrices.

    Raises:
        LinAlgError: a matrix is singular.
    """
    need_square("linalg.inv", A)
    found, info = _inv(A)
    _refuse_no_inverse(info, A)
    return found if out is None else write_named("linalg_inv", (found,), (out,))[0]


@op(name="linalg_solve_triangular", method=False)
def _solve_triangular(A: Array, B: Array, upper, left, unitriangular):
    A, B = _same_batch(A, B)
    return lapack.triangular_solve(A, B, left_side=left, lower=not upper, unit_diagonal=unitriangular)


def solve_triangular(A, B, *, upper, left=True, unitriangular=False, out=None):
    """The X of ``A X = B`` (``X A = B``) for triangular A, of which only one triangle is read.

    Args:
        upper: which triangle.
        unitriangular: take the diagonal as ones.
    """
    name = "linalg.solve_triangular"
    need_square(name, A)
    need_matrices(name, B, arg="B")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {scalar_name(A.dtype)} and B of "
            f"type {scalar_name(B.dtype)} instead"
        )
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    return _solve_triangular(A, B, upper, left, unitriangular, out=out)


@op(name="linalg_lu_solve", method=False)
def _lu_solve(LU: Array, pivots: Array, B: Array, left, adjoint):
    n = LU.shape[-1]
    L, U = _unpacked(LU)
    P = _permutation(pivots - 1, n, LU.dtype)
    lead = jnp.broadcast_shapes(LU.shape[:-2], B.shape[:-2])
    L, U, P, B = (jnp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (L, U, P, B))
    if not left:
        # X A = B is A^H X^H = B^H.
        B, adjoint = adjoined(B), not adjoint
    solve_with = functools.partial(lapack.triangular_solve, left_side=True)
    if adjoint:
        half = solve_with(U, B, transpose_a=True, conjugate_a=True)
        out = P @ solve_with(L, half, lower=True, transpose_a=True, conjugate_a=True, unit_diagonal=True)
    else:
        half = solve_with(L, transposed(P) @ B, lower=True, unit_diagonal=True)
        out = solve_with(U, half)
    return out if left else adjoined(out)


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """The X of ``A X = B`` from the LU factorization of A.

    Args:
        left: False for ``X A = B``.
        adjoint: solve with the adjoint of A.
    """
    need_square("torch.linalg.lu_solve", LU, arg="LU")
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError("torch.linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    if pivots.shape != LU.shape[:-1]:
        raise RuntimeError(
            "torch.linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix"
        )
    if LU.dtype is not B.dtype:
        raise RuntimeError(
            f"linalg.lu_solve: Expected LU and B to have the same dtype, but found LU of type {scalar_name(LU.dtype)} "
            f"and B of type {scalar_name(B.dtype)} instead"
        )
    need_matrices("torch.linalg.lu_solve", B, arg="B")
    if B.shape[-2 if left else -1] != LU.shape[-1]:
        raise RuntimeError(
            f"linalg.lu_solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({LU.shape[-2]}x{LU.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    return _lu_solve(LU, pivots, B, left, adjoint, out=out)


# -- determinants ---------------------------------------------------------------------------------------------------

_slogdet_result = named("linalg_slogdet", "sign", "logabsdet")


@op(name="linalg_det", method=False)
def _det(A: Array):
    return jnp.linalg.det(A) if A.shape[-1] else jnp.ones(A.shape[:-2], A.dtype)


def det(A, *, out=None):
    """The determinant of square matrices."""
    need_square("linalg.det", A)
    return _det(A, out=out)


@op(name="linalg_slogdet", method=False)
def _slogdet(A: Array):
    return tuple(jnp.linalg.slogdet(A))


def slogdet(A, *, out=None):
    """The sign of the determinant and the logarithm of its size."""
    need_square("linalg.slogdet", A)
    return _slogdet_result(write_named("linalg_slogdet", _slogdet(A), out))


@op(name="logdet", method=False)
def _logdet(A: Array):
    sign, size = jnp.linalg.slogdet(A)
    if jnp.iscomplexobj(A):
        return jnp.log(sign) + size
    return jnp.where(sign < 0, jnp.nan, size)


def logdet(input):
    """The logarithm of the determinant; nan where it is negative."""
    need_square("linalg.det", input)
    return _logdet(input)


# -- powers and exponentials ----------------------------------------------------------------------------------------


@op(name="linalg_matrix_power", method=False)
def _identity(A: Array):
    return jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)


def matrix_power(A, n, *, out=None):
    """The product of ``n`` copies of square matrices; of their inverses for negative ``n``."""
    need_square("linalg.matrix_power", A)
    if n == 0:
        found = _identity(A)
    else:
        square, found, n = (A if n > 0 else inv(A)), None, abs(n)
        while n:
            if n % 2:
                found = square if found is None else matmul(found, square)
            n //= 2
            square = matmul(square, square) if n else square
    return found if out is None else write_named("linalg_matrix_power", (found,), (out,))[0]


@op(name="linalg_matrix_exp", method=False)
def _matrix_exp(A: Array):
    low = A.dtype.itemsize == 2
    return (_expm(A.astype(jnp.float32) if low else A) if A.size else A).astype(A.dtype)


@jax.custom_vjp
def _expm(A):
    """The Taylor polynomial of degree 20 of A halved until its norm is below one, then squared as often."""
    n = A.shape[-1]
    size = jnp.max(jnp.sum(jnp.abs(A), -2), -1)
    halvings = jnp.where(jnp.isfinite(size), jnp.ceil(jnp.log2(jnp.maximum(size, 1))), 0)
    X = A * jnp.exp2(-halvings)[..., None, None].astype(A.dtype)
    unit = jnp.broadcast_to(jnp.eye(n, dtype=A.dtype), A.shape)
    powers = [unit, X]
    for _ in range(3):
        powers.append(powers[-1] @ X)
    fifth = powers[-1] @ X
    total = unit / math.factorial(20)
    for chunk in range(3, -1, -1):
        part = sum(p / math.factorial(5 * chunk + i) for i, p in enumerate(powers))
        total = total @ fifth + part

    def square(state):
        step, Y = state
        return step + 1, jnp.where((step < halvings)[..., None, None], Y @ Y, Y)

    last = jnp.max(halvings)
    return jax.lax.while_loop(lambda state: state[0] < last, square, (jnp.zeros_like(last), total))[1]


def _expm_forward(A):
    return _expm(A), A


def _expm_backward(A, grad):
    """The derivative is the upper right block of exp([[A^T, grad], [0, A^T]]) (Najfeld and Havel, 1995)."""
    T, n = transposed(A), A.shape[-1]
    block = jnp.concatenate([jnp.concatenate([T, grad], -1), jnp.concatenate([jnp.zeros_like(T), T], -1)], -2)
    return (_expm(block)[..., :n, n:],)


_expm.defvjp(_expm_forward, _expm_backward)


def matrix_exp(A):
    """The exponential of square matrices, as the power series of ``exp``."""
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        need_square("linalg.matrix_exp", A)
    if A.dtype.category < 2:
        raise RuntimeError("matrix_exp(): expected a tensor of floating or complex types")
    return _matrix_exp(A)


# -- tensors as matrices --------------------------------------------------------------------------------------------


def tensorinv(A, ind=2, *, out=None):
    """The inverse of the matrix that the first ``ind`` dimensions and the rest make."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = A.shape[:ind], A.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{math.prod(columns)} != {math.prod(rows)}"
        )
    found = inv(A.reshape(math.prod(rows), math.prod(columns))).reshape(*columns, *rows)
    return found if out is None else write_named("linalg_tensorinv", (found,), (out,))[0]


def tensorsolve(A, B, dims=None, *, out=None):
    """The X with ``tensordot(A, X, X.ndim) == B``.

    Args:
        dims: dimensions of A to move to its end first.
    """
    if dims is not None:
        moved = [wrap_dim(d, A.dim()) for d in dims]
        A = A.permute([d for d in range(A.dim()) if d not in moved] + moved)
    rest = A.shape[B.dim() :]
    if math.prod(rest) != math.prod(B.shape):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {math.prod(rest)} != {math.prod(B.shape)}"
        )
    found = solve(A.reshape(-1, math.prod(rest)), B.reshape(-1)).reshape(rest)
    return found if out is None else write_named("linalg_tensorsolve", (found,), (out,))[0]


def vander(x, N=None):
    """The powers 0 to N - 1 of every element, in a last dimension."""
    x = x.reshape(1) if x.dim() == 0 else x
    count = x.shape[-1] if N is None else N
    if count <= 1 and N is not None:
        raise RuntimeError("N must be greater than 1.")
    kind = x if x.dtype.category > 1 else x.long()
    return _vander(kind, count)


@op(name="linalg_vander", method=False)
def _vander(x: Array, count):
    return jnp.stack([jax.lax.integer_pow(x, i) for i in range(count)], -1)


def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices, as a view."""
    return A.diagonal(offset, dim1, dim2)
