"""Owns triangles and diagonals of matrices: keeping them, reading them, building from them.

May import the door, shapes, creation and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .. import dtypes
from ._op import Array, op
from .creation import tensor
from .shape import wrap_dim


def _triangle(name, f):
    def fn(input: Array, diagonal=0):
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return f(input, diagonal)

    fn.__name__ = name
    part = "on and below" if name == "tril" else "on and above"
    fn.__doc__ = f"The matrix with zeros except {part} a diagonal."
    return op(fn, inplace=True, linear=True)


tril, triu = _triangle("tril", jnp.tril), _triangle("triu", jnp.triu)


def _indices(name, f):
    def indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
        return tensor(np.stack(f(row, offset, col)), dtype=dtype or dtypes.int64, device=device)

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = f"The positions of a {name[:4]} triangle, as a tensor of rows and columns."
    return indices


tril_indices, triu_indices = _indices("tril_indices", np.tril_indices), _indices("triu_indices", np.triu_indices)


@op(linear=True)
def trace(input: Array):
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    diagonal = jnp.diagonal(input)
    return jnp.sum(diagonal if jnp.issubdtype(diagonal.dtype, jnp.inexact) else diagonal.astype(jnp.int64))


@op(linear=True)
def diag(input: Array, diagonal=0):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return jnp.diag(input, diagonal)


@op(linear=True)
def diagflat(input: Array, offset=0):
    """The matrix with all elements on its diagonal."""
    return jnp.diag(input.reshape(-1), offset)


@op(linear=True)
def diag_embed(input: Array, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last dimension's lines on their diagonals."""
    if wrap_dim(dim1, input.ndim + 1) == wrap_dim(dim2, input.ndim + 1):
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + abs(offset)
    rows = jnp.arange(input.shape[-1]) + max(-offset, 0)
    columns = jnp.arange(input.shape[-1]) + max(offset, 0)
    out = jnp.zeros((*input.shape[:-1], size, size), input.dtype).at[..., rows, columns].set(input)
    ndim = out.ndim
    return jnp.moveaxis(out, (ndim - 2, ndim - 1), (wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)))


@op(linear=True)
def diagonal_scatter(input: Array, src: Array, offset=0, dim1=0, dim2=1):
    """``input`` with a diagonal replaced by ``src``."""
    d1, d2 = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    positions = jnp.diagonal(jnp.arange(input.size).reshape(input.shape), offset, d1, d2)
    return input.reshape(-1).at[positions.reshape(-1)].set(src.reshape(-1)).reshape(input.shape)


__all__ = [
    "diag", "diag_embed", "diagflat", "diagonal_scatter", "trace", "tril", "tril_indices", "triu", "triu_indices",
]  # fmt: skip
