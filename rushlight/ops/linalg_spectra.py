"""Owns singular values and eigenvalues.

May import the checks of linear algebra, the door and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import linalg as lapack

from ._op import Array, op
from ._results import named
from .linalg_checks import adjoined, need_matrices, need_square, write_named
from .search import on_host

# -- singular values ------------------------------------------------------------------------------------------------

_svd_result = named("linalg_svd", "U", "S", "Vh")


@op(name="linalg_svd", method=False)
def _svd(input: Array, full):
    m, n = input.shape[-2:]
    return _full_svd(input) if full and m != n else tuple(jnp.linalg.svd(input, full_matrices=False))


@jax.custom_jvp
def _full_svd(x):
    return tuple(jnp.linalg.svd(x, full_matrices=True))


@_full_svd.defjvp
def _full_svd_jvp(primals, tangents):
    """The columns beyond the singular values are any basis of what is left: they carry no derivative, as in torch."""
    U, S, Vh = _full_svd(*primals)
    (_, _, _), (dU, dS, dVh) = jax.jvp(lambda x: tuple(jnp.linalg.svd(x, full_matrices=False)), primals, tangents)
    more = U.shape[-1] - dU.shape[-1], Vh.shape[-2] - dVh.shape[-2]
    lead = [(0, 0)] * (dU.ndim - 2)
    dU, dVh = jnp.pad(dU, [*lead, (0, 0), (0, more[0])]), jnp.pad(dVh, [*lead, (0, more[1]), (0, 0)])
    return (U, S, Vh), (dU, dS, dVh)


def _need_no_driver(name, driver):
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


def svd(A, full_matrices=True, *, driver=None, out=None):
    """Unitary U and Vh, and singular values S in descending order, with ``A = U diag(S) Vh``."""
    need_matrices("linalg.svd", A)
    _need_no_driver("torch.linalg.svd", driver)
    return _svd_result(write_named("linalg_svd", _svd(A, full_matrices), out))


@op(name="linalg_svdvals", method=False)
def _svdvals(input: Array):
    return jnp.linalg.svd(input, compute_uv=False)


def svdvals(A, *, driver=None, out=None):
    """The singular values in descending order."""
    need_matrices("linalg.svdvals", A)
    _need_no_driver("torch.linalg.svdvals", driver)
    return _svdvals(A, out=out)


# -- eigenvalues ----------------------------------------------------------------------------------------------------

_eig_result = named("linalg_eig", "eigenvalues", "eigenvectors")
_eigh_result = named("linalg_eigh", "eigenvalues", "eigenvectors")


@op(name="linalg_eig", method=False)
def _eig(input: Array):
    if not input.size:
        wide = jnp.result_type(input.dtype, jnp.complex64)
        return jnp.zeros(input.shape[:-1], wide), jnp.zeros(input.shape, wide)
    values, vectors = lapack.eig(input, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    return values, vectors


def _need_finite(name, x):
    if on_host(x) and not np.isfinite(x._host()).all():
        raise RuntimeError(f"{name}: input tensor should not contain infs or NaNs.")


def eig(A, *, out=None):
    """Eigenvalues and eigenvectors of any square matrix, complex."""
    need_square("linalg.eig", A)
    _need_finite("torch.linalg.eig", A)
    return _eig_result(write_named("linalg_eig", _eig(A), out))


@op(name="linalg_eigvals", method=False)
def _eigvals(input: Array):
    if not input.size:
        return jnp.zeros(input.shape[:-1], jnp.result_type(input.dtype, jnp.complex64))
    return lapack.eig(input, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def eigvals(A, *, out=None):
    """The eigenvalues of any square matrix, complex."""
    need_square("linalg.eigvals", A)
    _need_finite("torch.linalg.eigvals", A)
    return _eigvals(A, out=out)


@op(name="linalg_eigh", method=False)
def _eigh(input: Array, lower):
    return _eigh_of(input, lower)


def _one_triangle(x, lower):
    kept, strict = (jnp.tril(x), jnp.tril(x, -1)) if lower else (jnp.triu(x), jnp.triu(x, 1))
    whole = kept + adjoined(strict)
    if jnp.iscomplexobj(x):
        diagonal = jnp.eye(x.shape[-1], dtype=bool)
        whole = jnp.where(diagonal, whole.real.astype(x.dtype), whole)
    return whole


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _eigh_of(x, lower):
    vectors, values = lapack.eigh(_one_triangle(x, lower), symmetrize_input=False)
    return values, vectors


@_eigh_of.defjvp
def _eigh_jvp(lower, primals, tangents):
    """The tangent is taken as Hermitian, whichever triangle the values were read from."""
    (x,), (dx,) = primals, tangents
    values, V = _eigh_of(x, lower)
    inner = adjoined(V) @ ((dx + adjoined(dx)) / 2) @ V
    apart = values[..., None, :] - values[..., :, None]
    eye = jnp.eye(x.shape[-1], dtype=bool)
    inverse = jnp.where(eye, 0, 1 / jnp.where(eye, 1, apart)).astype(V.dtype)
    dvalues = jnp.diagonal(inner, axis1=-2, axis2=-1).real
    return (values, V), (dvalues, V @ (inner * inverse))


def _lower(UPLO):
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "L"


def eigh(A, UPLO="L", *, out=None):
    """Real eigenvalues in ascending order, and eigenvectors, of Hermitian matrices given by one triangle."""
    need_square("linalg.eigh", A)
    return _eigh_result(write_named("linalg_eigh", _eigh(A, _lower(UPLO)), out))


@op(name="linalg_eigvalsh", method=False)
def _eigvalsh(input: Array, lower):
    return _eigh_of(input, lower)[0]


def eigvalsh(A, UPLO="L", *, out=None):
    """The real eigenvalues, in ascending order, of Hermitian matrices given by one triangle."""
    need_square("linalg.eigvalsh", A)
    return _eigvalsh(A, _lower(UPLO), out=out)
