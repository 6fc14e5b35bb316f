"""Owns positions as data: flat positions and coordinates, the first positions of what is not zero, rows of sparse
matrices, a hash of contents.

May import the door, reductions and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .._errors import not_supported
from ._op import Array, attach, op
from .reduce import dims_of


@op(name="unravel_index", method=False, differentiable=False)
def _unravel_index(indices: Array, shape):
    out, step = [], math.prod(shape)
    for n in shape:
        step //= max(n, 1)
        out.append(indices // step % n)
    return tuple(out)


def unravel_index(indices, shape):
    """The coordinates in a tensor of the given shape of positions in its flattened form.

    Raises:
        ValueError: positions that are not integers, or a negative size.

    Example:
        >>> import rushlight as torch
        >>> torch.unravel_index(torch.tensor([4]), (2, 3))
        (tensor([1]), tensor([1]))
    """
    if indices.dtype.category != 1:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype!r}")
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    return _unravel_index(indices, sizes)


@op(name="nonzero_static", method=False, differentiable=False)
def _nonzero_static(input: Array, size, fill_value):
    count = jnp.sum(input != 0)
    found = jnp.nonzero(input, size=size, fill_value=0) if input.ndim else ()
    rows = jnp.stack(found, -1).astype(jnp.int64) if found else jnp.zeros((size, 0), jnp.int64)
    return jnp.where(jnp.arange(size)[:, None] < count, rows, fill_value)


def nonzero_static(input, *, size, fill_value=-1, out=None):
    """The first ``size`` positions of what is not zero, a row for each; rows that are left over hold ``fill_value``."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    return _nonzero_static(input, size, fill_value, out=out)


@op(name="hash_tensor", method=False, differentiable=False)
def _hash(input: Array, dim, keepdim):
    dims = dims_of(dim, input.ndim)
    if jnp.issubdtype(input.dtype, jnp.floating):
        bits = jax.lax.bitcast_convert_type(input.astype(jnp.float64), jnp.uint64)
    else:
        bits = input.astype(jnp.int64).astype(jnp.uint64)
    out = jax.lax.reduce(bits, jnp.uint64(0), jax.lax.bitwise_xor, dims)
    for d in sorted(dims) if keepdim else ():
        out = jnp.expand_dims(out, d)
    return out


def hash_tensor(input, dim=(), *, keepdim=False, mode=0, out=None):
    """A uint64 that depends on every element: the exclusive or of their 64-bit forms.

    Raises:
        NotImplementedError: another ``mode`` than 0.
    """
    if mode != 0:
        raise not_supported(f"hash_tensor(mode={mode})", "Use mode=0.")
    if input.is_complex():
        raise NotImplementedError('"hash_tensor" not implemented for complex dtypes; use view_as_real first')
    return _hash(input, dim, keepdim, out=out)


@op(name="_convert_indices_from_coo_to_csr", method=False, differentiable=False)
def _row_starts(rows: Array, size, dtype):
    return jnp.searchsorted(rows, jnp.arange(size + 1, dtype=rows.dtype), side="left").astype(dtype)


def _convert_indices_from_coo_to_csr(input, size, *, out_int32=False, out=None):
    """Where each of ``size`` rows begins in a sorted list of row numbers, and the list's end.

    Args:
        input: the rows of a sparse matrix's elements, in order.
        size: how many rows the matrix has.
        out_int32: give int32 instead of int64.

    Raises:
        RuntimeError: more than one dimension.

    Example:
        >>> import rushlight as torch
        >>> torch._convert_indices_from_coo_to_csr(torch.tensor([0, 0, 2]), 3)
        tensor([0, 2, 2, 3])
    """
    if input.dim() > 1:
        raise RuntimeError(f"Input is supposed to be a vector, but got {input.dim()} dimensional tensor.")
    return _row_starts(input.reshape(-1), size, "int32" if out_int32 else "int64", out=out)


@op(name="_convert_indices_from_csr_to_coo", method=False, differentiable=False)
def _rows_and_columns(starts: Array, columns: Array, dtype, transpose):
    count = columns.shape[0]
    rows = jnp.searchsorted(starts, jnp.arange(count, dtype=starts.dtype), side="right") - 1
    pair = (columns, rows) if transpose else (rows, columns)
    return jnp.stack([one.astype(dtype) for one in pair])


def _convert_indices_from_csr_to_coo(crow_indices, col_indices, *, out_int32=False, transpose=False, out=None):
    """The rows and columns of a sparse matrix's elements, from where its rows begin and the columns.

    Args:
        out_int32: give int32 instead of int64.
        transpose: columns first.

    Raises:
        NotImplementedError: a batch of matrices.

    Example:
        >>> import rushlight as torch
        >>> torch._convert_indices_from_csr_to_coo(torch.tensor([0, 2, 2, 3]), torch.tensor([1, 2, 0]))
        tensor([[0, 0, 2],
                [1, 2, 0]])
    """
    if crow_indices.dim() != 1 or col_indices.dim() != 1:
        raise not_supported("_convert_indices_from_csr_to_coo() of a batch", "Convert one matrix at a time.")
    return _rows_and_columns(crow_indices, col_indices, "int32" if out_int32 else "int64", transpose, out=out)


for _function in (nonzero_static, hash_tensor):
    attach(_function.__name__, _function)

__all__ = [
    "_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo", "hash_tensor", "nonzero_static",
    "unravel_index",
]  # fmt: skip
