"""Owns choosing elements by mask or position, and writing to them: where, masks, gather, scatter, index_*.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .. import dtypes
from .._tensor.tensor import Tensor
from ._op import Array, Number, attach, in_place_form, op, scalar_name
from ._promotion import cast, common
from .shape import wrap_dim


def concrete(tensor) -> bool:
    """Whether the contents can be looked at: not under a trace, not on meta."""
    return not isinstance(tensor._array(), (jax.core.Tracer, jax.ShapeDtypeStruct))


def on_host(tensor) -> bool:
    """Whether a look at the contents costs nothing: torch's own CPU kernels check indices, GPU kernels do not."""
    return tensor._storage.device.type == "cpu" and concrete(tensor)


# -- by mask --------------------------------------------------------------------------------------------------------


@op(name="where", method=False)
def _where(condition: Array, input: Array, other: Array):
    if condition.dtype == jnp.uint8:
        condition = condition != 0
    if condition.dtype != bool:
        d = scalar_name(dtypes.from_numpy(condition.dtype))
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {d}")
    (a, b), finish = common([input, other])
    out = jnp.where(condition, a, b)
    return out if finish is None else finish(out)


def where(condition, input=None, other=None, *, out=None):
    """``input`` where the condition holds, else ``other``; with one argument the positions where it holds.

    Raises:
        RuntimeError: the condition is not bool, or shapes do not broadcast.

    Example:
        >>> import rushlight as torch
        >>> torch.where(torch.tensor([True, False]), 1.0, 0.0)
        tensor([1., 0.])
    """
    if input is None and other is None:
        from .sorting import nonzero

        return nonzero(condition, as_tuple=True)
    return _where(condition, input, other, out=out)


def _where_method(self, condition, other):
    return _where(condition, self, other)


attach("where", _where_method)


def _check_mask(name, mask):
    if mask.dtype != bool:
        words = {"uint8": "unsigned char", "int64": "long int", "float32": "float", "float64": "double"}
        d = dtypes.from_numpy(mask.dtype).name
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype {words.get(d, d)}")


@op(inplace=True)
def masked_fill(input: Array, mask: Array, value: Array):
    """``input`` with ``value`` where the mask holds; the dtype stays.

    Raises:
        RuntimeError: the mask is not bool, or the value has dimensions.
    """
    _check_mask("masked_fill_", mask)
    if value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    kind, target = dtypes.from_numpy(value.dtype), dtypes.from_numpy(input.dtype)
    if kind.category == 3 and target.category < 3:
        raise RuntimeError(f"value cannot be converted to type {target.name} without overflow")
    return jnp.where(mask, cast(value, target), input)


@op(inplace=True)
def masked_scatter(input: Array, mask: Array, source: Array):
    """``input`` with the elements of ``source``, in order, where the mask holds.

    Raises:
        RuntimeError: the mask is not bool, or dtypes differ.
    """
    _check_mask("masked_scatter_", mask)
    if source.dtype != input.dtype:
        a, b = (scalar_name(dtypes.from_numpy(x.dtype)) for x in (input, source))
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got {a} and {b}")
    shape = jnp.broadcast_shapes(input.shape, mask.shape)
    input, mask = jnp.broadcast_to(input, shape), jnp.broadcast_to(mask, shape)
    if not source.size:
        return input
    order = jnp.cumsum(mask.reshape(-1)).reshape(shape) - 1
    return jnp.where(mask, source.reshape(-1).at[jnp.clip(order, 0, source.size - 1)].get(mode="clip"), input)


@op(name="masked_select", method=False)
def _take_flat(input: Array, index: Array, shape):
    return jnp.broadcast_to(input, shape).reshape(-1).at[index].get(mode="clip")


def masked_select(input, mask, *, out=None):
    """The elements where the mask holds, in a vector.

    Raises:
        RuntimeError: the mask is not bool.
    """
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = np.broadcast_shapes(input.shape, mask.shape)
    positions = np.flatnonzero(np.broadcast_to(mask._host(), shape))
    return _take_flat(input, Tensor._of(jnp.asarray(positions), mask.device), shape, out=out)


attach("masked_select", masked_select)

# -- by position ----------------------------------------------------------------------------------------------------


def check_positions(index, n, dim, negative=False, error=RuntimeError, message=None) -> None:
    """Refuse positions outside a dimension of size ``n``; only where looking is free.

    Raises:
        RuntimeError: (or ``error``) a position is out of bounds.
    """
    if not on_host(index):
        return
    host = index._host()
    if not host.size:
        return
    low, high = host.min(), host.max()
    if low < (-n if negative else 0) or high >= n:
        bad = high if high >= n else low
        raise error(message or f"index {bad} is out of bounds for dimension {dim} with size {n}")


def _check_index_dtype(name, index):
    if index.dtype.name not in ("int32", "int64"):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


def _check_ranks(input, index, src=None):
    if index.numel() and max(input.dim(), 1) != max(index.dim(), 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    if isinstance(src, Tensor) and index.numel() and max(src.dim(), 1) != max(index.dim(), 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")


def _grid(index, dim):
    """The full position of every element of ``index``, which itself gives the one in ``dim``."""
    return tuple(
        index if d == dim else jax.lax.broadcasted_iota(index.dtype, index.shape, d) for d in range(index.ndim)
    )


@op(name="gather", method=False)
def _gather(input: Array, index: Array, dim):
    if not input.ndim or not index.ndim:
        return input.reshape(-1)[index]
    for d in range(index.ndim):
        if d != dim and index.shape[d] > input.shape[d]:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {dim}"
            )
    trimmed = input[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(index.shape))]
    return jnp.take_along_axis(trimmed, index, dim, mode="clip")


def gather(input, dim, index, *, sparse_grad=False, out=None):
    """The elements at the positions that ``index`` gives along a dimension.

    Shape: the result has the shape of ``index``, which has as many dimensions as ``input``.

    Raises:
        RuntimeError: a position is out of bounds, or shapes do not fit.

    Example:
        >>> import rushlight as torch
        >>> torch.gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0], [1]]))
        tensor([[1],
                [4]])
    """
    dim = wrap_dim(dim, input.dim())
    _check_index_dtype("gather", index)
    _check_ranks(input, index)
    check_positions(index, input.shape[dim] if input.dim() else 1, dim)
    return _gather(input, index, dim, out=out)


def take_along_dim(input, indices, dim=None, *, out=None):
    """``gather`` with broadcasting; without ``dim``, from the flattened tensor."""
    if indices.dtype.name not in ("int32", "int64"):
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long but got {scalar_name(indices.dtype)}"
        )
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1), out=out)
    if input.dim() != indices.dim():
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.dim()} dimensions for input, and {indices.dim()} dimensions for indices"
        )
    dim = wrap_dim(dim, input.dim())
    a, b = list(input.shape), list(indices.shape)
    wide = [max(n, m) if 0 not in (n, m) else 0 for n, m in zip(a, b)]
    input = input.expand(*wide[:dim], a[dim], *wide[dim + 1 :])
    return gather(input, dim, indices.expand(*wide[:dim], b[dim], *wide[dim + 1 :]), out=out)


def take(input, index):
    """Elements by position in the flattened tensor."""
    check_positions(index, input.numel(), 0, True, IndexError, "out of range: tried to access index out of bounds")
    return _take(input, index)


@op(name="take", method=False)
def _take(input: Array, index: Array):
    return input.reshape(-1)[index]


@op(name="index_select", method=False)
def _index_select(input: Array, index: Array, dim):
    if not input.ndim:
        return input
    return jnp.take(input, index.reshape(-1), dim, mode="clip")


def _check_vector(name, index):
    if index.dim() > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector")
    if index.dtype.name not in ("int32", "int64"):
        raise RuntimeError(f"{name}(): Expected dtype int32 or int64 for index")


def index_select(input, dim, index, *, out=None):
    """The slices of a dimension that a vector of positions names."""
    dim = wrap_dim(dim, input.dim())
    if index.dim() > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype.name not in ("int32", "int64"):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    n = input.shape[dim] if input.dim() else 1
    check_positions(index, n, dim, False, IndexError, "index out of range in self")
    return _index_select(input, index, dim, out=out)


# -- writing to positions -------------------------------------------------------------------------------------------

_REDUCE = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min"}


def _put(input, index, src, dim, how):
    shape = input.shape
    if not input.ndim:
        input, index = input.reshape(1), index.reshape(-1)
        src = src.reshape(-1) if src.ndim or index.size == 1 else src
    if not index.size:
        return input.reshape(shape)
    index = index.reshape(index.shape or (1,))
    src = src[tuple(slice(n) for n in index.shape)] if src.ndim else src
    target = input.at[_grid(index, dim)]
    return getattr(target, how)(src, mode="drop").reshape(shape)


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


@op(name="scatter_reduce", method=False)
def _scatter_reduce(input: Array, index: Array, src: Array, dim, reduce, include_self):
    d = dtypes.from_numpy(input.dtype)
    base = input
    if not include_self:
        touched = _put(jnp.zeros(input.shape, bool), index, jnp.ones((), bool), dim, "set")
        base = jnp.where(touched, _neutral(reduce, d), input)
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


def _along(input, index, dim):
    return input.at[(slice(None),) * dim + (index.reshape(-1),)] if input.ndim else input.at[...]


@op(name="index_add", method=False)
def _index_add(input: Array, index: Array, source: Array, dim, *, alpha: Number | None = None):
    d = dtypes.from_numpy(input.dtype)
    source = source if alpha is None else source * cast(alpha, d)
    if not input.ndim:
        return input + source.reshape(())
    return _along(input, index, dim).add(source.reshape(_slab(input, index, dim)))


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
    shape = [1] * input.ndim
    shape[dim] = index.size
    wide = jnp.broadcast_to(index.reshape(shape), source.shape)
    return _scatter_reduce.fn(input, wide, source, dim, reduce, include_self)


def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """``input`` with the slices of ``source`` combined at the named slices of a dimension."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either prod, mean, amax or amin, got {reduce}.")
    dim = _check_slab("index_reduce", input, dim, index, source)
    return _index_reduce(input, index, source, dim, reduce, include_self)


def select_scatter(input, src, dim, index):
    """``input`` with one slice of a dimension replaced by ``src``."""
    out = input.clone()
    out.select(dim, index).copy_(src)
    return out


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """``input`` with a range of a dimension replaced by ``src``."""
    out = input.clone()
    out[(slice(None),) * wrap_dim(dim, input.dim()) + (slice(start, end, step),)] = src
    return out


for _function in (
    gather, take_along_dim, take, index_select, scatter, scatter_add, scatter_reduce, index_add, index_copy,
    index_fill, index_reduce, select_scatter, slice_scatter,
):  # fmt: skip
    attach(_function.__name__, _function)
for _function in (scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, index_reduce):
    attach(_function.__name__ + "_", in_place_form(_function))

__all__ = [
    "gather", "index_add", "index_copy", "index_fill", "index_reduce", "index_select", "masked_fill", "masked_scatter",
    "masked_select", "scatter", "scatter_add", "scatter_reduce", "select_scatter", "slice_scatter", "take",
    "take_along_dim", "where",
]  # fmt: skip
