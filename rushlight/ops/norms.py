"""Owns norms of vectors and matrices, and distances between them.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import math

import jax.numpy as jnp

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, attach, in_place_form, op
from ._promotion import cast
from .reduce import dims_of, need_elements
from .shape import wrap_dim
from .unary import absolute_of

# -- of vectors -----------------------------------------------------------------------------------------------------


def vector_norm_of(x, ord, dims, keepdim):
    """The ``ord``-norm of a traced array over ``dims``; its gradient at zero is zero."""
    low = x.dtype.itemsize == 2
    wide = x.astype(jnp.float32) if low else x
    if ord == 0:
        out = jnp.sum(wide != 0, dims, keepdims=keepdim).astype(wide.real.dtype)
    elif ord == 2:
        square = jnp.square(wide.real) + jnp.square(wide.imag) if jnp.iscomplexobj(wide) else jnp.square(wide)
        out = _root(jnp.sum(square, dims, keepdims=keepdim), jnp.sqrt)
    else:
        size = absolute_of(wide)
        if ord == 1:
            out = jnp.sum(size, dims, keepdims=keepdim)
        elif ord == math.inf:
            out = jnp.max(size, dims, keepdims=keepdim, initial=0)
        elif ord == -math.inf:
            out = jnp.min(size, dims, keepdims=keepdim)
        else:
            zero = size == 0
            powers = jnp.where(zero, 0.0 if ord > 0 else jnp.inf, jnp.where(zero, 1, size) ** ord)
            out = _root(jnp.sum(powers, dims, keepdims=keepdim), lambda total: total ** (1 / ord))
    return out.astype(x.dtype) if low else out


def _root(total, root):
    zero = total == 0
    return jnp.where(zero, 0, root(jnp.where(zero, 1, total)))


def _norm_input(name, x, dtype):
    """The input of a norm, converted to the dtype asked for.

    Raises:
        RuntimeError: it is not floating or complex, or the conversion loses its imaginary part or precision.
    """
    d = dtypes.from_numpy(x.dtype)
    if d.category < 2:
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(d)}")
    if dtype is None:
        return x
    if dtype.category < 2:
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {scalar_name(dtype)}")
    if dtype.is_complex != d.is_complex:
        kind = "complex" if d.is_complex else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs. Got {scalar_name(dtype)}")
    return cast(x, dtype)


@op(name="linalg_vector_norm", method=False)
def _vector_norm(input: Array, ord, dims, keepdim, dtype):
    x = _norm_input("linalg.vector_norm", input, dtype)
    wrapped = dims_of(dims, x.ndim)
    if ord < 0 or ord == math.inf:
        for d in wrapped:
            if x.shape[d] == 0:
                if dims is None or dims == ():
                    raise RuntimeError(
                        f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because the operation "
                        "does not have an identity"
                    )
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {ord:g} norm on the dimension {d} because this dimension "
                    "is empty and the operation does not have an identity"
                )
    return vector_norm_of(x, ord, wrapped, keepdim)


def vector_norm(x, ord: float = 2, dim=None, keepdim=False, *, dtype=None, out=None):
    """The ``ord``-norm of all elements, or over ``dim``.

    Args:
        ord: any number; inf and -inf give the largest and the smallest size, 0 counts what is not zero.
        dim: a dimension or several; default: the flattened tensor.
        dtype: convert to this first.

    Raises:
        RuntimeError: the tensor is not floating or complex.

    Example:
        >>> import rushlight as torch
        >>> torch.linalg.vector_norm(torch.tensor([3.0, 4.0]))
        tensor(5.)
    """
    return _vector_norm(x, float(ord), dim, keepdim, dtype, out=out)


# -- of matrices ----------------------------------------------------------------------------------------------------


@op(name="linalg_matrix_norm", method=False)
def _matrix_norm(input: Array, ord, dims, keepdim, dtype):
    x = _norm_input("linalg.matrix_norm", input, dtype)
    row, column = dims
    if isinstance(ord, str):
        if ord == "fro":
            return vector_norm_of(x, 2.0, dims, keepdim)
        values = _singular_values(x, dims)
        out = jnp.sum(values, -1)
    elif abs(ord) == 2:
        values = _singular_values(x, dims)
        if ord < 0:
            need_elements("amin", values.shape, (values.ndim - 1,))
        out = jnp.max(values, -1, initial=0) if ord > 0 else jnp.min(values, -1)
    else:
        along, rest = (row, column) if abs(ord) == 1 else (column, row)
        sums = jnp.sum(absolute_of(x), along, keepdims=True)
        if ord < 0:
            need_elements("amin", sums.shape, (rest,))
        out = jnp.max(sums, rest, keepdims=True, initial=0) if ord > 0 else jnp.min(sums, rest, keepdims=True)
        return out if keepdim else jnp.squeeze(out, dims)
    for d in sorted(dims) if keepdim else ():
        out = jnp.expand_dims(out, d)
    return out


def _singular_values(x, dims):
    return jnp.linalg.svd(jnp.moveaxis(x, dims, (-2, -1)), compute_uv=False)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """The norm of matrices.

    Args:
        ord: ``"fro"``, ``"nuc"`` (sum of singular values), 2 and -2 (largest, smallest singular value), 1 and -1
            (largest, smallest sum of a column), inf and -inf (of a row).
        dim: the two dimensions that hold the matrices.
    """
    if A.dim() < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 dimensions.")
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}")
    dims = tuple(wrap_dim(d, A.dim()) for d in dim)
    if dims[0] == dims[1]:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    elif abs(ord) not in (1, 2, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    return _matrix_norm(A, ord if isinstance(ord, str) else float(ord), dims, keepdim, dtype, out=out)


# -- of either ------------------------------------------------------------------------------------------------------


def linalg_norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """The norm of a vector or of matrices, as ``dim`` (or the number of dimensions) says.

    Args:
        ord: see ``vector_norm`` and ``matrix_norm``; None is the 2-norm of the flattened tensor.
    """
    if dim is not None and not isinstance(dim, int) and len(dim) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is not None and dim is None and A.dim() not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.dim()}D."
        )
    matrix = not isinstance(dim, int) and dim is not None and len(dim) == 2
    if ord is not None and (matrix or (dim is None and A.dim() == 2)):
        return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        raise RuntimeError(
            f"linalg.norm: Order {ord} not supported."
            if dim is None and A.dim() == 1
            else f"linalg.norm: Order {ord} needs two dimensions; expected dim of length 2, received {dim}"
        )
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype, out=out)


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """torch's old norm: of the flattened tensor or over ``dim``; ``"nuc"`` and, with two dimensions, of matrices.

    Args:
        p: a number for the vector norm, ``"fro"`` for the 2-norm, ``"nuc"`` for the nuclear norm.

    Example:
        >>> import rushlight as torch
        >>> torch.norm(torch.tensor([[3.0, 4.0]]), dim=1)
        tensor([5.])
    """
    if p == "nuc":
        dims = tuple(range(input.dim())) if dim is None else dim
        if len(dims) != 2:
            raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dims))}")
        return matrix_norm(input, "nuc", dims, keepdim, dtype=dtype, out=out)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"only valid string values are 'fro' and 'nuc', found: {p}")
    if isinstance(dim, (list, tuple)) and not dim:
        dim = None
    return vector_norm(input, 2 if p is None or p == "fro" else p, dim, keepdim, dtype=dtype, out=out)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """torch's old name of the 2-norm over ``dim``."""
    return vector_norm(input, 2, dim or None, keepdim, out=out)


def nuclear_norm(input, dim=None, keepdim=False, *, out=None):
    """torch's old name of the sum of singular values."""
    return matrix_norm(input, "nuc", (-2, -1) if dim is None or isinstance(dim, bool) else dim, keepdim, out=out)


def norm_except_dim(v, pow=2, dim=0):
    """The ``pow``-norm over all dimensions but one, with size 1 in the others; ``dim=-1`` is over all."""
    if dim == -1:
        return vector_norm(v, pow)
    return vector_norm(v, pow, tuple(d for d in range(v.dim()) if d != wrap_dim(dim, v.dim())), True)


def _norm_method(self, p="fro", dim=None, keepdim=False, dtype=None):
    return norm(self, p, dim, keepdim, dtype=dtype)


_norm_method.__doc__ = norm.__doc__
attach("norm", _norm_method)


# -- distances ------------------------------------------------------------------------------------------------------


@op(name="cdist", method=False)
def _cdist(x1: Array, x2: Array, p):
    apart = x1[..., :, None, :] - x2[..., None, :, :]
    return vector_norm_of(apart, p, (apart.ndim - 1,), False)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The distances between all rows of ``x1`` and all rows of ``x2``, per batch.

    Raises:
        RuntimeError: rows of different lengths, tensors without rows, a negative ``p``.
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if x.dim() < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.dim()}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    return _cdist(x1, x2, float(p))


@op(name="dist")
def dist(input: Array, other: Array, p=2):
    """The ``p``-norm of ``input - other``."""
    apart = input - other
    return vector_norm_of(apart, float(p), tuple(range(apart.ndim)), False)


@op(name="renorm", method=False)
def _renorm(input: Array, p, dim, maxnorm):
    rest = tuple(d for d in range(input.ndim) if d != dim)
    size = vector_norm_of(input, p, rest, True)
    # torch divides by a little more than the norm; the same constant keeps the same bits.
    factor = jnp.where(size > maxnorm, maxnorm / (size + 1e-7), jnp.ones((), size.dtype))
    return input * factor.astype(size.dtype)


def renorm(input, p, dim, maxnorm, *, out=None):
    """Slices of a dimension scaled down so that their ``p``-norm is at most ``maxnorm``."""
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    return _renorm(input, float(p), wrap_dim(dim, input.dim()), float(maxnorm), out=out)


attach("renorm", renorm)
attach("renorm_", in_place_form(renorm))

__all__ = ["cdist", "dist", "frobenius_norm", "norm", "norm_except_dim", "nuclear_norm", "renorm"]
