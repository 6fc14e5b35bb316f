"""Owns joining, splitting, repeating and rearranging tensors.

May import the door, the views and jax.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import type_name
from .._tensor.tensor import Tensor
from ._op import Array, attach, op
from ._promotion import common
from .compose import meshgrid
from .indexing import _view_slices
from .shape import sizes_of, wrap_dim

# -- joining --------------------------------------------------------------------------------------------------------


def _check_join(shapes, dim):
    first = next((s for s in shapes if s != (0,)), (0,))
    for i, shape in enumerate(shapes):
        if not shape:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    d = wrap_dim(dim, len(first))
    start = None
    for i, shape in enumerate(shapes):
        if shape == (0,):
            continue
        if start is None:
            start = shape
        if len(shape) != len(start):
            raise RuntimeError(f"Tensors must have same number of dimensions: got {len(start)} and {len(shape)}")
        for axis, (n, m) in enumerate(zip(start, shape)):
            if axis != d and n != m:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {d}. Expected size {n} but got size {m} for "
                    f"tensor number {i} in the list."
                )
    return d


@op(name="cat", method=False, linear=True)
def _cat(tensors: list[Array], dim):
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    d = _check_join([x.shape for x in tensors], dim)
    # torch lets empty vectors join anything; they still take part in promotion.
    arrays = common(tensors)[0]
    kept = [x for x in arrays if x.shape != (0,)] or arrays[:1]
    return jnp.concatenate(kept, d)


def _listed(name, tensors):
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    return tensors


def cat(tensors, dim=0, *, out=None):
    """The tensors one after another along a dimension that they have.

    Args:
        tensors: of equal size, except in ``dim``.
        dim: where to join.

    Raises:
        RuntimeError: sizes do not match.

    Example:
        >>> import rushlight as torch
        >>> torch.cat([torch.tensor([1, 2]), torch.tensor([3])])
        tensor([1, 2, 3])
    """
    return _cat(_listed("cat", tensors), dim, out=out)


concat = concatenate = cat


@op(name="stack", method=False, linear=True)
def _stack(tensors: list[Array], dim):
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and "
                f"{list(x.shape)} at entry {i}"
            )
    d = wrap_dim(dim, tensors[0].ndim + 1)
    return jnp.stack(common(tensors)[0], d)


def stack(tensors, dim=0, *, out=None):
    """The tensors one after another along a new dimension.

    Raises:
        RuntimeError: sizes differ.

    Example:
        >>> import rushlight as torch
        >>> torch.stack([torch.tensor([1, 2]), torch.tensor([3, 4])], dim=1)
        tensor([[1, 3],
                [2, 4]])
    """
    return _stack(_listed("stack", tensors), dim, out=out)


def _several(tensors):
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


def _at_least(n, place) -> Any:
    def one(t):
        if not isinstance(t, Tensor):
            raise TypeError(f"atleast_{n}d(): argument 'tensors' must be Tensor, not {type_name(t)}")
        while t.dim() < n:
            t = t.unsqueeze(place(t.dim()))
        return t

    def atleast(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return one(tensors[0])
        return tuple(one(t) for t in _several(tensors))

    atleast.__name__ = atleast.__qualname__ = f"atleast_{n}d"
    atleast.__doc__ = f"Tensors with dimensions of size 1 added until they have {n}."
    return atleast


atleast_1d, atleast_2d = _at_least(1, lambda ndim: 0), _at_least(2, lambda ndim: 0)
atleast_3d = _at_least(3, lambda ndim: 0 if ndim < 2 else 2)


def _some(name, tensors):
    if not len(tensors):
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


def hstack(tensors, *, out=None):
    """The tensors side by side: along dimension 1, or 0 for vectors."""
    _some("hstack", tensors)
    tensors = atleast_1d(*tensors) if len(tensors) > 1 else (atleast_1d(tensors[0]),)
    return cat(tensors, 0 if tensors[0].dim() == 1 else 1, out=out)


def vstack(tensors, *, out=None):
    """The tensors one below another: along dimension 0, vectors as rows."""
    return cat([atleast_2d(t) for t in _some("vstack", tensors)], 0, out=out)


row_stack = vstack


def dstack(tensors, *, out=None):
    """The tensors one behind another: along dimension 2."""
    return cat([atleast_3d(t) for t in _some("dstack", tensors)], 2, out=out)


def column_stack(tensors, *, out=None):
    """The tensors side by side, vectors as columns."""
    return hstack([t if t.dim() > 1 else t.reshape(-1, 1) for t in _some("column_stack", tensors)], out=out)


def block_diag(*tensors):
    """The matrix with the given ones along its diagonal."""
    tensors = [atleast_2d(t) for t in tensors]
    widths = [t.shape[1] for t in tensors]
    rows = []
    for i, t in enumerate(tensors):
        before, after = sum(widths[:i]), sum(widths[i + 1 :])
        rows.append(cat([t.new_zeros(t.shape[0], before), t, t.new_zeros(t.shape[0], after)], 1))
    return cat(rows, 0)


def cartesian_prod(*tensors):
    """All combinations of the elements of several vectors."""
    tensors = _several(tensors)
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """All combinations of ``r`` elements of a vector."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    return input[Tensor._of(jnp.asarray(np.array(rows, np.int64).reshape(-1, r)), input.device)]


# -- splitting ------------------------------------------------------------------------------------------------------


def _pieces(input, sizes, dim):
    pieces, start = [], 0
    for n in sizes:
        pieces.append(_view_slices(input, {dim: slice(start, start + n)}))
        start += n
    return tuple(pieces)


def split(tensor, split_size_or_sections, dim=0):
    """Views of pieces along a dimension: of one size (the last may be smaller), or of the listed sizes.

    Raises:
        RuntimeError: the sizes do not add up.

    Example:
        >>> import rushlight as torch
        >>> torch.split(torch.arange(5), 2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    dim = wrap_dim(dim, tensor.dim())
    n, sizes = tensor.shape[dim], split_size_or_sections
    if isinstance(sizes, Tensor):
        sizes = sizes.tolist()
    if isinstance(sizes, int):
        if sizes < 0:
            raise RuntimeError(f"split expects split_size be non-negative, but got split_size={sizes}")
        if sizes == 0:
            if n:
                raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
            return _pieces(tensor, (0,), dim)
        return _pieces(tensor, [min(sizes, n - i) for i in range(0, n, sizes)] or [0], dim)
    if sum(sizes) != n or any(s < 0 for s in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), "
            f"but got split_sizes={list(sizes)}"
        )
    return _pieces(tensor, sizes, dim)


def split_with_sizes(input, split_sizes, dim=0):
    """``split`` with a list of sizes."""
    return split(input, split_sizes, dim)


def chunk(input, chunks, dim=0):
    """At most ``chunks`` views of equal size (the last may be smaller) along a dimension."""
    dim = wrap_dim(dim, input.dim())
    if input.dim() == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.shape[dim]
    if n == 0:
        return _pieces(input, (0,) * chunks, dim)
    return split(input, -(-n // chunks), dim)


def tensor_split(input, indices_or_sections, dim=0):
    """Views along a dimension: so many of nearly equal size, or cut at the listed positions."""
    if input.dim() == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input.dim())
    n, cuts = input.shape[dim], indices_or_sections
    if isinstance(cuts, Tensor):
        cuts = cuts.tolist()
    if isinstance(cuts, int):
        if cuts <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
        return _pieces(input, [n // cuts + (i < n % cuts) for i in range(cuts)], dim)
    edges = [None, *cuts, None]
    return tuple(_view_slices(input, {dim: slice(a, b)}) for a, b in itertools.pairwise(edges))


def _named_split(name, dim_of, least):
    def split_along(input, indices_or_sections):
        if input.dim() < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with "
                f"{input.dim()} dimensions!"
            )
        dim = dim_of(input.dim())
        count = indices_or_sections
        if isinstance(count, int) and (count == 0 or input.shape[dim] % count):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
                f"{input.shape[dim]} is not divisible by the split_size {indices_or_sections}!"
            )
        return tensor_split(input, indices_or_sections, dim)

    split_along.__name__ = split_along.__qualname__ = name
    split_along.__doc__ = f"``tensor_split`` along the dimension of ``{name[0]}stack``."
    attach(name, split_along)
    return split_along


hsplit = _named_split("hsplit", lambda ndim: 0 if ndim == 1 else 1, 1)
vsplit, dsplit = _named_split("vsplit", lambda ndim: 0, 2), _named_split("dsplit", lambda ndim: 2, 3)


def unbind(input, dim=0):
    """Views of all slices along a dimension, without it."""
    dim = wrap_dim(dim, input.dim())
    if input.dim() == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple(_view_slices(input, {dim: i}) for i in range(input.shape[dim]))


def unsafe_chunk(input, chunks, dim=0):
    """``chunk``."""
    return chunk(input, chunks, dim)


def unsafe_split(tensor, split_size_or_sections, dim=0):
    """``split``."""
    return split(tensor, split_size_or_sections, dim)


# -- repeating ------------------------------------------------------------------------------------------------------


@op(name="repeat", method=False, linear=True)
def _tile(input: Array, sizes):
    return jnp.tile(input, sizes)


def repeat(self, *sizes, repeats=None):
    """Copies of the tensor along each dimension.

    Raises:
        RuntimeError: fewer sizes than dimensions.
    """
    sizes = sizes_of(sizes if repeats is None else (repeats,))
    if len(sizes) < self.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(sizes)}: {list(sizes)}")
    return _tile(self, sizes)


def tile(input, *times, dims=None):
    """Copies of the tensor along its last dimensions."""
    dims = sizes_of(times if dims is None else (dims,))
    return _tile(input, (1,) * (input.dim() - len(dims)) + tuple(dims))


@op(name="repeat_interleave", method=False, linear=True)
def _repeat_each(input: Array, repeats, dim):
    return jnp.repeat(input, repeats, dim)


@op(name="repeat_interleave", method=False)
def _repeat_by(input: Array, repeats: Array, dim, total):
    return jnp.repeat(input, repeats, dim, total_repeat_length=total)


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Every element repeated, so often or by a tensor of counts.

    Args:
        repeats: an int, or a tensor with a count for each element of ``dim``.
        dim: default: of the flattened tensor.
        output_size: the sum of the counts, if known; it saves looking at them.

    Raises:
        RuntimeError: the counts do not fit.
    """
    if repeats is None:
        repeats, input = input, Tensor._of(jnp.arange(input.numel()), input.device)
    if dim is None:
        input, dim = input.flatten(), 0
    dim = wrap_dim(dim, input.dim())
    if isinstance(repeats, (list, tuple)):
        repeats = Tensor._of(jnp.asarray(np.array(repeats, np.int64)), input.device)
    if isinstance(repeats, Tensor) and repeats.numel() == 1 and output_size is None:
        repeats = repeats.item()
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError("Repeats must be non-negative")
        return _repeat_each(input, repeats, dim)
    if repeats.dtype.name not in ("int32", "int64"):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if repeats.dim() > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if repeats.numel() not in (1, input.shape[dim]):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {repeats.shape[0]} and "
            f"input.size({dim}) = {input.shape[dim]}"
        )
    if output_size is None:
        counts = repeats._host()
        if counts.min(initial=0) < 0:
            raise RuntimeError("repeats can not be negative")
        output_size = int(counts.sum())
    return _repeat_by(input, repeats, dim, output_size)


# -- rearranging ----------------------------------------------------------------------------------------------------


@op(name="flip", method=False, linear=True)
def _flip(input: Array, dims):
    wrapped = [wrap_dim(d, input.ndim) for d in dims]
    for d in wrapped:
        if wrapped.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return jnp.flip(input, tuple(wrapped)) if input.ndim else input


def flip(input, *positions, dims=None):
    """The tensor with some dimensions in reverse order (a copy)."""
    return _flip(input, sizes_of(positions if dims is None else (dims,)))


def fliplr(input):
    """Columns in reverse order."""
    if input.dim() < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flip(input, (1,))


def flipud(input):
    """Rows in reverse order."""
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return _flip(input, (0,))


@op(name="roll", method=False, linear=True)
def _roll(input: Array, shifts, dims):
    if dims is None:
        return jnp.roll(input, shifts[0])
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return jnp.roll(input, shifts, tuple(wrap_dim(d, input.ndim) for d in dims))


def roll(input, shifts, dims=None):
    """The elements moved along dimensions, those pushed out coming in at the other end."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if input.dim() == 0 and dims is not None and dims != ():
        raise IndexError(
            f"Dimension specified as {dims if isinstance(dims, int) else dims[0]} but tensor has no dimensions"
        )
    dims = (dims,) if isinstance(dims, int) else None if dims is None or len(dims) == 0 else tuple(dims)
    if dims is None and len(shifts) != 1:
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:0")
    return _roll(input, shifts, dims)


@op(name="rot90", linear=True)
def rot90(input: Array, k=1, dims=(0, 1)):
    """The plane of two dimensions turned by ``k`` quarter turns."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    if wrap_dim(dims[0], input.ndim) == wrap_dim(dims[1], input.ndim):
        raise RuntimeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    return jnp.rot90(input, k, dims)


for _function in (
    split, split_with_sizes, chunk, tensor_split, unbind, unsafe_chunk, unsafe_split, repeat, tile, repeat_interleave,
    flip, fliplr, flipud, roll,
):  # fmt: skip
    attach(_function.__name__, _function)

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "cartesian_prod", "cat", "chunk", "column_stack",
    "combinations", "concat", "concatenate", "dsplit", "dstack", "flip", "fliplr", "flipud", "hsplit", "hstack",
    "repeat_interleave", "roll", "rot90", "row_stack", "split", "split_with_sizes", "stack", "tensor_split", "tile",
    "unbind", "unsafe_chunk", "unsafe_split", "vsplit", "vstack",
]  # fmt: skip
