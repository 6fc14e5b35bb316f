"""Owns writing to elements by position: scatter and its reductions, index_add, index_copy, index_fill.

May import choosing by position, the door and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from .. import dtypes
from .._tensor.tensor import Tensor
from ._execute import scalar_name, write_out
from ._op import Array, Number, attach, in_place_form, op
from ._promotion import cast
from .search import _check_index_dtype, _check_ranks, _check_vector, _gather, check_positions
from .shape import wrap_dim

# -- along lines ----------------------------------------------------------------------------------------------------

_REDUCE = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min"}


def _grid(index, dim):
    """The full position of every element of ``index``, which itself gives the one in ``dim``."""
    return tuple(
        index if d == dim else jax.lax.broadcasted_iota(index.dtype, index.shape, d) for d in range(index.ndim)
    )


def _write(input, at, src, how, **options):
    """``input.at[at].add(src)`` and its kin, which jax has for numbers alone: bools go through bytes."""
    if input.dtype == bool and how != "set":
        how = {"add": "max", "mul": "min"}.get(how) or how
        return getattr(input.astype(jnp.uint8).at[at], how)(src.astype(jnp.uint8), **options) != 0
    return getattr(input.at[at], how)(src, **options)


def _put(input, index, src, dim, how):
    shape = input.shape
    if not input.ndim:
        input, index = input.reshape(1), index.reshape(-1)
        src = src.reshape(-1) if src.ndim or index.size == 1 else src
    if not index.size:
        return input.reshape(shape)
    index = index.reshape(index.shape or (1,))
    src = src[tuple(slice(n) for n in index.shape)] if src.ndim else src
    return _write(input, _grid(index, dim), src, how, mode="drop").reshape(shape)


@op(name="scatter", method=False)
def _scatter(input: Array, index: Array, src: Array, dim, how):
    d = dtypes.from_numpy(input.dtype)
    return _put(input, index, cast(src, d), dim, how)


def _check_scatter(name, input, dim, index, src=None):
    dim = wrap_dim(dim, input.dim())
    _check_index_dtype(name, index)
    _check_ranks(input, index, src)
    if isinstance(src, Tensor):
        if src.dtype is not input.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        for d, n in enumerate(index.shape if src.dim() else ()):
            if n > src.shape[d] or (d != dim and n > input.shape[d]):
                raise RuntimeError(
                    f"Expected index {list(index.shape)} to be no larger than self {list(input.shape)} apart from "
                    f"dimension {dim} and to be no larger size than src {list(src.shape)}"
                )
    check_positions(index, input.shape[dim] if input.dim() else 1, dim)
    return dim


def scatter(input, dim, index, src=None, *, value=None, reduce=None, out=None):
    """``input`` with elements of ``src`` (or one value) written to the positions that ``index`` gives along ``dim``.

    Args:
        src: a tensor at least as large as ``index``, or a number.
        reduce: ``"add"`` or ``"multiply"`` instead of replacing.

    Raises:
        RuntimeError: a position is out of bounds, shapes or dtypes do not fit.
    """
    src = value if src is None else src
    if src is None:
        raise TypeError('scatter() missing 1 required positional arguments: "src"')
    dim = _check_scatter("scatter", input, dim, index, src)
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return _scatter(input, index, src, dim, "set" if reduce is None else _REDUCE[reduce], out=out)


@op(name="scatter_add", method=False, linear=False)
def _scatter_add(input: Array, index: Array, src: Array, dim):
    return _put(input, index, src, dim, "add")


def scatter_add(input, dim, index, src, *, out=None):
    """``input`` with elements of ``src`` added at the positions that ``index`` gives along ``dim``."""
    dim = _check_scatter("scatter", input, dim, index, src)
    return _scatter_add(input, index, src, dim, out=out)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _product(base, index, src, dim):
    return _put(base, index, src, dim, "mul")


@_product.defjvp
def _product_jvp(dim, primals, tangents):
    """A factor's derivative is the product of the others: with one zero only that zero has any, with two none."""
    (base, index, src), (dbase, _, dsrc) = primals, tangents
    no_base, no_src = base == 0, src == 0
    rest = _product(jnp.where(no_base, 1, base), index, jnp.where(no_src, 1, src), dim)
    zeros = _put(no_base.astype(jnp.int32), index, no_src.astype(jnp.int32), dim, "add")
    out = jnp.where(zeros == 0, rest, 0)

    def others(x, is_zero, product, count):
        return jnp.where(
            is_zero, jnp.where(count == 1, product, 0), jnp.where(count == 0, product, 0) / jnp.where(is_zero, 1, x)
        )

    part = _gather.fn(rest, index, dim), _gather.fn(zeros, index, dim)
    trimmed = tuple(slice(n) for n in index.shape)
    share = others(src[trimmed], no_src[trimmed], *part) * dsrc[trimmed] if index.size else dsrc
    return out, _put(others(base, no_base, rest, zeros) * dbase, index, share, dim, "add")


@op(name="scatter_reduce", method=False)
def _scatter_reduce(input: Array, index: Array, src: Array, dim, reduce, include_self):
    d = dtypes.from_numpy(input.dtype)
    base = input
    if not include_self:
        touched = _put(jnp.zeros(input.shape, bool), index, jnp.ones((), bool), dim, "set")
        base = jnp.where(touched, _neutral(reduce, d), input)
    if reduce == "prod":
        return _product(base, index, src, dim)
    if reduce != "mean":
        return _put(base, index, src, dim, _REDUCE[reduce])
    total = _put(base, index, src, dim, "add")
    ones = jnp.ones(src.shape, total.dtype)
    start = jnp.ones(input.shape, total.dtype) if include_self else jnp.zeros(input.shape, total.dtype)
    count = jnp.maximum(_put(start, index, ones, dim, "add"), 1)
    return jnp.floor_divide(total, count) if d.category < 2 else total / count


def _neutral(reduce, d):
    if reduce in ("sum", "mean"):
        return np.zeros((), d.np)
    if reduce == "prod":
        return np.ones((), d.np)
    if d.category == 2:
        return np.asarray(-np.inf if reduce == "amax" else np.inf, d.np)
    if d.category == 0:
        return np.asarray(reduce != "amax")
    info = np.iinfo(d.np)
    return np.asarray(info.min if reduce == "amax" else info.max, d.np)


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True, out=None):
    """``input`` with elements of ``src`` combined at the positions that ``index`` gives along ``dim``.

    Args:
        reduce: ``"sum"``, ``"prod"``, ``"mean"``, ``"amax"`` or ``"amin"``.
        include_self: whether what stood there takes part.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got " + str(reduce))
    dim = _check_scatter("scatter_reduce", input, dim, index, src)
    return _scatter_reduce(input, index, src, dim, reduce, include_self, out=out)


# -- of whole slices ------------------------------------------------------------------------------------------------


def _along(input, index, dim):
    return input.at[_slices(index, dim)] if input.ndim else input.at[...]


def _slices(index, dim):
    return (slice(None),) * dim + (index.reshape(-1),)


@op(name="index_add", method=False)
def _index_add(input: Array, index: Array, source: Array, dim, *, alpha: Number | None = None):
    d = dtypes.from_numpy(input.dtype)
    source = source if alpha is None else source * cast(alpha, d)
    if not input.ndim:
        return input + source.reshape(())
    return _write(input, _slices(index, dim), source.reshape(_slab(input, index, dim)), "add")


def _slab(input, index, dim):
    return (*input.shape[:dim], index.size, *input.shape[dim + 1 :])


def _check_slab(name, input, dim, index, source):
    dim = wrap_dim(dim, input.dim())
    _check_vector(name, index)
    if isinstance(source, Tensor):
        if source.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}(): self and source expected to have the same dtype, but got (self) "
                f"{scalar_name(input.dtype)} and (source) {scalar_name(source.dtype)}"
            )
        n = source.shape[dim] if source.dim() > dim else 1
        if n != index.numel():
            raise RuntimeError(
                f"{name}(): Number of indices ({index.numel()}) should be equal to source.size(dim): ({n}), for dim: "
                f"{dim}"
            )
        rest = [m for i, m in enumerate(input.shape) if i != dim]
        if [m for i, m in enumerate(source.shape) if i != dim] != rest:
            raise RuntimeError(
                f"source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape "
                f"= {list(input.shape)} source.shape = {list(source.shape)}"
            )
    n = input.shape[dim] if input.dim() else 1
    check_positions(index, n, dim, False, IndexError, "index out of range in self")
    return dim


def index_add(input, dim, index, source, *, alpha=None, out=None):
    """``input`` with the slices of ``source`` (times ``alpha``) added at the named slices of a dimension."""
    dim = _check_slab("index_add", input, dim, index, source)
    return _index_add(input, index, source, dim, alpha=alpha, out=out)


@op(name="index_copy", method=False)
def _index_copy(input: Array, index: Array, source: Array, dim):
    if not input.ndim:
        return source.reshape(())
    return _along(input, index, dim).set(source.reshape(_slab(input, index, dim)))


def index_copy(input, dim, index, source, *, out=None):
    """``input`` with the named slices of a dimension replaced by those of ``source``."""
    dim = _check_slab("index_copy", input, dim, index, source)
    return _index_copy(input, index, source, dim, out=out)


@op(name="index_fill", method=False)
def _index_fill(input: Array, index: Array, value: Array, dim):
    if value.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    value = cast(value, dtypes.from_numpy(input.dtype))
    return value if not input.ndim else _along(input, index, dim).set(value)


def index_fill(input, dim, index, value):
    """``input`` with the named slices of a dimension filled with one value."""
    dim = _check_slab("index_fill", input, dim, index, None)
    return _index_fill(input, index, value, dim)


@op(name="index_reduce", method=False)
def _index_reduce(input: Array, index: Array, source: Array, dim, reduce, include_self):
    if not input.ndim:
        return _scatter_reduce.fn(input, index.reshape(()), source.reshape(()), dim, reduce, include_self)
    shape = [1] * input.ndim
    shape[dim] = index.size
    wide = jnp.broadcast_to(index.reshape(shape), source.shape)
    return _scatter_reduce.fn(input, wide, source, dim, reduce, include_self)


def index_reduce(input, dim, index, source, reduce, *, include_self=True, out=None):
    """``input`` with the slices of ``source`` combined at the named slices of a dimension."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either prod, mean, amax or amin, got {reduce}.")
    dim = _check_slab("index_reduce", input, dim, index, source)
    return _index_reduce(input, index, source, dim, reduce, include_self, out=out)


@op(name="put", method=False)
def _put_flat(input: Array, index: Array, source: Array, accumulate):
    how = "add" if accumulate else "set"
    return _write(input.reshape(-1), index.reshape(-1), source.reshape(-1), how).reshape(input.shape)


def put(input, index, source, accumulate=False):
    """``input`` with elements of ``source`` written (or added) by position in the flattened tensor."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {scalar_name(index.dtype)}")
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{scalar_name(input.dtype)} and source.dtype = {scalar_name(source.dtype)}"
        )
    if source.numel() != index.numel():
        raise RuntimeError(
            f"put_(): source and index are expected to have the same number of elements, but got source.numel() = "
            f"{source.numel()}, index.numel() = {index.numel()}"
        )
    check_positions(index, input.numel(), 0, True, IndexError, "out of range: tried to access index out of bounds")
    return _put_flat(input, index, source, accumulate)


def select_scatter(input, src, dim, index):
    """``input`` with one slice of a dimension replaced by ``src``."""
    out = input.clone()
    out.select(dim, index).copy_(src)
    return out


def slice_scatter(input, src, dim=0, start=None, end=None, step=1, *, out=None):
    """``input`` with a range of a dimension replaced by ``src``."""
    made = input.clone()
    made[(slice(None),) * wrap_dim(dim, input.dim()) + (slice(start, end, step),)] = src
    return made if out is None else write_out("slice_scatter", made, out)


for _function in (
    scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, index_reduce, put, select_scatter,
    slice_scatter,
):  # fmt: skip
    attach(_function.__name__, _function)
for _function in (scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, index_reduce, put):
    attach(_function.__name__ + "_", in_place_form(_function))

__all__ = [
    "index_add", "index_copy", "index_fill", "index_reduce", "put", "scatter", "scatter_add", "scatter_reduce",
    "select_scatter", "slice_scatter",
]  # fmt: skip
