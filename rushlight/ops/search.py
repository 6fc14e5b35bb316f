"""Owns choosing elements by mask or position: where, masks, gather, take.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, attach, op
from ._promotion import cast, common
from .shape import wrap_dim


def concrete(tensor) -> bool:
    """Whether the contents can be looked at: not under a trace, not on meta."""
    return not isinstance(tensor._array(), (Tracer, jax.ShapeDtypeStruct))


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


def check_positions(index, n, dim, negative=False, error: type[Exception] = RuntimeError, message=None) -> None:
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


@op(name="gather", method=False)
def _gather(input: Array, index: Array, dim):
    if not index.size:
        return jnp.zeros(index.shape, input.dtype)
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
    if index.numel():
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


def take(input, index, *, out=None):
    """Elements by position in the flattened tensor."""
    check_positions(index, input.numel(), 0, True, IndexError, "out of range: tried to access index out of bounds")
    return _take(input, index, out=out)


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


for _function in (gather, take_along_dim, take, index_select):
    attach(_function.__name__, _function)

__all__ = [
    "gather", "index_select", "masked_fill", "masked_scatter", "masked_select", "take", "take_along_dim", "where",
]  # fmt: skip
