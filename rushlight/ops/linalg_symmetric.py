"""Owns the factorization of symmetric indefinite matrices (Bunch and Kaufman 1977), which XLA does not have.

May import the checks of linear algebra, the door, numpy and jax. It runs on the host, inside programs too.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, op
from ._results import named
from .linalg_checks import LinAlgError, first_failure, need_inexact, need_matrices, need_square, write_named

_ALPHA = (1 + math.sqrt(17)) / 8


def _size(x):
    return np.abs(x.real) + np.abs(x.imag)


def _pivot(a, k, hermitian):
    """Which row takes the place of ``k``, how many rows are eliminated, and whether the column is zero."""
    n = len(a)
    here = abs(a[k, k].real) if hermitian else _size(a[k, k])
    below = _size(a[k + 1 :, k])
    best = int(below.argmax()) + k + 1 if k + 1 < n else k
    column = below.max() if k + 1 < n else 0.0
    if max(here, column) == 0 or np.isnan(here):
        return k, 1, True
    if here >= _ALPHA * column:
        return k, 1, False
    row = max(_size(a[best, k:best]).max(), _size(a[best + 1 :, best]).max() if best + 1 < n else 0.0)
    if here >= _ALPHA * column * (column / row):
        return k, 1, False
    there = abs(a[best, best].real) if hermitian else _size(a[best, best])
    return (best, 1, False) if there >= _ALPHA * row else (best, 2, False)


def _swap(a, i, j, k, step, conj):
    a[j + 1 :, [i, j]] = a[j + 1 :, [j, i]]
    a[i + 1 : j, i], a[j, i + 1 : j] = conj(a[j, i + 1 : j]).copy(), conj(a[i + 1 : j, i]).copy()
    a[j, i] = conj(a[j, i])
    a[i, i], a[j, j] = a[j, j], a[i, i]
    if step == 2:
        a[k + 1, k], a[j, k] = a[j, k], a[k + 1, k]


def _factor_one(a, hermitian):
    """L and D in the lower triangle, LAPACK's pivots, and the first zero pivot (from 1) or 0; ``a`` is overwritten."""
    n, info, pivots = len(a), 0, np.zeros(len(a), np.int32)
    hermitian = hermitian and a.dtype.kind == "c"
    conj = np.conj if hermitian else lambda x: x
    k = 0
    while k < n:
        other, step, zero = _pivot(a, k, hermitian)
        last = k + step - 1
        if zero:
            info = info or k + 1
        else:
            if other != last:
                _swap(a, last, other, k, step, conj)
            if hermitian:
                for i in {k, last, other}:
                    a[i, i] = a[i, i].real
            rest = slice(k + step, None)
            if step == 1:
                column = a[rest, k].copy()
                a[rest, k] = column / a[k, k]
                a[rest, rest] -= np.outer(a[rest, k], conj(column))
            else:
                block = a[k : k + 2, k : k + 2].copy()
                block[0, 1] = conj(block[1, 0])
                columns = a[rest, k : k + 2].copy()
                a[rest, k : k + 2] = np.linalg.solve(block.T, columns.T).T
                a[rest, rest] -= a[rest, k : k + 2] @ conj(columns).T
        pivots[k : k + step] = other + 1 if step == 1 else -(other + 1)
        k += step
    return np.tril(a), pivots, info


def _solve_one(a, pivots, b, hermitian):
    n, b = len(a), b.copy()
    conj = np.conj if hermitian and a.dtype.kind == "c" else lambda x: x
    k = 0
    while k < n:
        step = 1 if pivots[k] > 0 else 2
        last, other = k + step - 1, abs(int(pivots[k])) - 1
        b[[last, other]] = b[[other, last]]
        b[k + step :] -= a[k + step :, k : k + step] @ b[k : k + step]
        block = a[k : k + step, k : k + step].copy()
        if step == 2:
            block[0, 1] = conj(block[1, 0])
        b[k : k + step] = np.linalg.solve(block, b[k : k + step])
        k += step
    k = n - 1
    while k >= 0:
        step = 1 if pivots[k] > 0 else 2
        first, other = k - step + 1, abs(int(pivots[k])) - 1
        b[first : k + 1] -= conj(a[k + 1 :, first : k + 1]).T @ b[k + 1 :]
        b[[k, other]] = b[[other, k]]
        k -= step
    return b


def _factor_all(hermitian, matrices):
    matrices = np.array(matrices)
    lead, n = matrices.shape[:-2], matrices.shape[-1]
    flat = matrices.reshape(math.prod(lead), n, n)
    found = [_factor_one(m, hermitian) for m in flat]
    factors = np.array([f for f, _, _ in found], matrices.dtype).reshape(matrices.shape)
    pivots = np.array([p for _, p, _ in found], np.int32).reshape(*lead, n)
    return factors, pivots, np.array([i for _, _, i in found], np.int32).reshape(lead)


def _solve_all(hermitian, factors, pivots, b):
    factors, pivots, b = map(np.asarray, (factors, pivots, b))
    lead = b.shape[:-2]
    each = zip(*(x.reshape(math.prod(lead), *x.shape[len(lead) :]) for x in (factors, pivots, b)))
    return np.array([_solve_one(f, p, x, hermitian) for f, p, x in each], b.dtype).reshape(b.shape)


@op(name="linalg_ldl_factor_ex", method=False, differentiable=False)
def _factor(input: Array, hermitian):
    lead, n = input.shape[:-2], input.shape[-1]
    shapes = (
        jax.ShapeDtypeStruct(input.shape, input.dtype), jax.ShapeDtypeStruct((*lead, n), jnp.int32),
        jax.ShapeDtypeStruct(lead, jnp.int32),
    )  # fmt: skip
    return tuple(jax.pure_callback(functools.partial(_factor_all, hermitian), shapes, input, vmap_method="expand_dims"))


@op(name="linalg_ldl_solve", method=False, differentiable=False)
def _solve(LD: Array, pivots: Array, B: Array, hermitian):
    lead = jnp.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    LD, pivots = (jnp.broadcast_to(x, (*lead, *x.shape[len(x.shape) - kept :])) for x, kept in ((LD, 2), (pivots, 1)))
    B = jnp.broadcast_to(B, (*lead, *B.shape[-2:]))
    shape = jax.ShapeDtypeStruct(B.shape, B.dtype)
    return jax.pure_callback(
        functools.partial(_solve_all, hermitian), shape, LD, pivots, B, vmap_method="broadcast_all"
    )


_result_ex = named("linalg_ldl_factor_ex", "LD", "pivots", "info")
_result = named("linalg_ldl_factor", "LD", "pivots")


def ldl_factor_ex(A, *, hermitian=False, check_errors=False, out=None):
    """The factors of ``ldl_factor``, and for each matrix 0 or the place of the first zero on D's diagonal.

    Returns:
        a named tuple of ``LD``, ``pivots`` and ``info``.
    """
    need_square("torch.linalg.ldl_factor_ex", A)
    need_inexact("torch.linalg.ldl_factor_ex", A)
    factors, pivots, info = _factor(A, bool(hermitian))
    if check_errors:
        found = first_failure(info, A.dim() > 2)
        if found is not None:
            where, place = found
            raise LinAlgError(f"torch.linalg.ldl_factor: {where}The diagonal element {place} of D is zero.")
    return _result_ex(write_named("linalg_ldl_factor_ex", (factors, pivots, info), out))


def ldl_factor(A, *, hermitian=False, out=None):
    """Factor symmetric (Hermitian) matrices as ``L D L^T`` (``L D L^H``) with rows exchanged.

    Args:
        hermitian: complex matrices are Hermitian, not symmetric.

    Returns:
        a named tuple of ``LD``, both factors in one triangle, and LAPACK's ``pivots``.

    Raises:
        LinAlgError: D has a zero on its diagonal.

    Example:
        >>> import rushlight as torch
        >>> A = torch.tensor([[2.0, 1.0], [1.0, -3.0]])
        >>> torch.linalg.ldl_solve(*torch.linalg.ldl_factor(A), torch.tensor([[3.0], [-2.0]]))
        tensor([[1.],
                [1.]])
    """
    factors, pivots, _ = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return _result(write_named("linalg_ldl_factor", (factors, pivots), out))


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """Solve ``A X = B`` with the factors of ``ldl_factor``.

    Raises:
        RuntimeError: sizes or dtypes do not fit.
    """
    name = "torch.linalg.ldl_solve"
    need_square(name, LD)
    need_matrices(name, B, arg="B")
    if B.shape[-2] != LD.shape[-1]:
        n = LD.shape[-1]
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {B.shape[-2]} by "
            f"{B.shape[-1]}"
        )
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{list(pivots.shape)} instead"
        )
    if pivots.is_floating_point() or pivots.is_complex() or pivots.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {scalar_name(pivots.dtype)}")
    if B.dtype is not LD.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {scalar_name(B.dtype)} and A of type "
            f"{scalar_name(LD.dtype)} instead."
        )
    result = _solve(LD, pivots, B, bool(hermitian))
    return result if out is None else write_named("linalg_ldl_solve", (result,), (out,))[0]


__all__: list[str] = []
