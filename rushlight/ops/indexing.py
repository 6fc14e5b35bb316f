"""Owns ``tensor[index]`` and ``tensor[index] = value``: numpy's rules, ints and slices as views.

May import the door, the views and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._errors import type_name
from .._tensor.tensor import Tensor
from . import creation
from ._op import Array, attach, op
from ._promotion import cast
from .shape import _squeeze, _unsqueeze, view_whole

# -- views: ints, slices, None, Ellipsis ----------------------------------------------------------------------------


def _slice_geometry(shape, strides, offset, *starts, sizes, steps, drop):
    offset += sum(int(s) * t for s, t in zip(starts, strides))
    keep = [i for i in range(len(shape)) if i not in drop]
    return tuple(sizes[i] for i in keep), tuple(strides[i] * steps[i] for i in keep), offset


def _spans(sizes, steps):
    return tuple((n - 1) * s + 1 if n else 0 for n, s in zip(sizes, steps))


def _take(array, starts, sizes, steps, drop):
    span = _spans(sizes, steps)
    out = array
    if span != array.shape or len(starts):
        out = jax.lax.dynamic_slice(array, _starts(array, starts), span)
    if any(s != 1 for s in steps):
        out = out[tuple(slice(None, None, s) for s in steps)]
    return out.reshape([n for i, n in enumerate(sizes) if i not in drop])


def _starts(array, starts):
    return tuple(starts) if starts else (0,) * array.ndim


def _put(array, value, *starts, sizes, steps, drop):
    value = value.reshape(sizes).astype(array.dtype)
    if any(s != 1 for s in steps):
        index = tuple(s + jnp.arange(n) * step for s, n, step in zip(_starts(array, starts), sizes, steps))
        return array.at[jnp.ix_(*index)].set(value)
    return jax.lax.dynamic_update_slice(array, value, _starts(array, starts))


@functools.lru_cache(maxsize=4096)
def _slice_program(sizes, steps, drop, dynamic: bool):
    """One program per shape of a slice: where it starts is a dynamic number, so x[i] in a loop compiles once."""
    from .._tensor.program import Program

    program = Program(
        lambda array, *starts: _take(array, starts, sizes, steps, drop), "slice" if not drop else "select", linear=1
    )
    program.geometry = functools.partial(_slice_geometry, sizes=sizes, steps=steps, drop=drop)
    program.inverse = functools.partial(_put, sizes=sizes, steps=steps, drop=drop)
    return program


def _view_slices(self: Tensor, items: dict) -> Tensor:
    """A view for ints and slices by dimension."""
    from ._execute import view_of

    shape = self._array().shape
    starts, sizes, steps, drop = [], [], [], []
    for i, n in enumerate(shape):
        item = items.get(i)
        if item is None:
            start, size, step = 0, n, 1
        elif isinstance(item, slice):
            start, stop, step = item.indices(n)
            size = max(0, -((start - stop) // step))
            start = min(start, n)
        else:
            if not -n <= item < n:
                raise IndexError(f"index {item} is out of bounds for dimension {i} with size {n}")
            start, size, step = item % n, 1, 1
            drop.append(i)
        starts.append(start)
        sizes.append(size)
        steps.append(step)
    program = _slice_program(tuple(sizes), tuple(steps), tuple(drop), True)
    dynamic = tuple(np.int32(s) if s < 2**31 else np.int64(s) for s in starts) if any(starts) else ()
    return view_of(self, program, dynamic)


def _row(self: Tensor, index: int, shape) -> Tensor:
    """``tensor[index]`` for a number."""
    from ._execute import view_of

    n = shape[0]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size {n}")
    start = index % n
    program = _slice_program((1, *shape[1:]), (1,) * len(shape), (0,), True)
    if not start:
        return view_of(self, program, ())
    return view_of(self, program, (_number(start), *(_ZERO,) * (len(shape) - 1)))


_ZERO = np.int32(0)


def _number(start: int):
    return np.int32(start) if start < 2**31 else np.int64(start)


def _as_index(item):
    """Turn an index item into what the two paths below understand.

    Raises:
        TypeError, IndexError: something that cannot index.
    """
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, (bool, np.bool_)):
        return creation.tensor(bool(item))
    if isinstance(item, slice):
        parts = []
        for part in (item.start, item.stop, item.step):
            parts.append(part if part is None or type(part) is int else part.__index__())
        if parts[2] is not None and parts[2] <= 0:
            raise ValueError("step must be greater than zero")
        return slice(*parts)
    if type(item) is int:
        return item
    if isinstance(item, Tensor):
        if item.dtype.category > 1:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if item.dim() == 0 and item.dtype.category == 1 and not isinstance(item._array(), Tracer):
            return item
        return item
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, (list, tuple, range, np.ndarray)):
        made = creation.tensor(np.asarray([_plain(i) for i in item]) if not isinstance(item, np.ndarray) else item)
        return made.long() if made.numel() == 0 else made
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{type_name(item)})"
    )


def _plain(item):
    if isinstance(item, Tensor):
        return item.tolist()
    return [_plain(i) for i in item] if isinstance(item, (list, tuple, range)) else item


def _parse(self: Tensor, key):
    """Split an index into its view part and its tensor part.

    Returns:
        (view, advanced): ``view`` is what ints, slices and None give; ``advanced`` maps its dimensions to tensors.
    """
    if isinstance(key, list) and not any(
        isinstance(k, (slice, Tensor, type(None), type(Ellipsis), list, tuple)) for k in key
    ):
        items = [_as_index(key)]
    else:
        items = [_as_index(k) for k in (key if isinstance(key, tuple) else (key,))]
    used = sum(
        0 if i is None or i is Ellipsis else max(i.dim(), 0) if isinstance(i, Tensor) and i.dtype in _MASKS else 1
        for i in items
    )
    ndim = self.dim()
    if used > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    if sum(i is Ellipsis for i in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    slices, layout, dim = {}, [], 0
    for item in items:
        if item is None:
            layout.append(None)
        elif item is Ellipsis:
            layout += [slice(None)] * (ndim - used)
            dim += ndim - used
        elif isinstance(item, int):
            slices[dim] = item
            dim += 1
        elif isinstance(item, slice):
            if item != slice(None):
                slices[dim] = item
            layout.append(slice(None))
            dim += 1
        elif item.dtype in _MASKS:
            if item.dim() == 0:
                layout.append(item)
            else:
                layout.append(item)
                for i, n in enumerate(item.shape):
                    if n != self.shape[dim + i]:
                        raise IndexError(
                            f"The shape of the mask {list(item.shape)} at index {i} does not match the shape of the "
                            f"indexed tensor {list(self.shape)} at index {dim + i}"
                        )
                dim += item.dim()
        else:
            layout.append(item)
            dim += 1
    view = _view_slices(self, slices) if slices else None
    return view, layout


_MASKS = (dtypes.bool_, dtypes.uint8)


def getitem(self: Tensor, key):
    """``tensor[key]``: a view for ints, slices, None and Ellipsis; a copy for masks and integer tensors."""
    if type(key) is int:
        shape = self._form().shape
        if shape:
            return _row(self, key, shape)
    view, layout = _parse(self, key)
    advanced = any(isinstance(i, Tensor) for i in layout)
    out = self if view is None else view
    at = 0
    tensors: dict = {}
    for item in layout:
        if item is None:
            out = _unsqueeze(out, at)
            at += 1
        elif isinstance(item, Tensor):
            if item.dtype in _MASKS:
                if item.dim() == 0:
                    out = _unsqueeze(out, at)
                    tensors[at] = (
                        creation.arange(1)[: int(bool(item))]
                        if not bool(item)
                        else creation.zeros(1, dtype=dtypes.int64)
                    )
                    at += 1
                else:
                    found = np.nonzero(item._host())
                    for i, positions in enumerate(found):
                        tensors[at + i] = creation.tensor(positions)
                    at += item.dim()
            else:
                tensors[at] = item
                at += 1
        else:
            at += 1
    if not advanced:
        return view_whole(self) if out is self else out
    for dim, t in tensors.items():
        _check_bounds(t, out.shape[dim], dim)
    dims = tuple(tensors)
    return _gather_nd(out, list(tensors.values()), dims)


def _check_bounds(t: Tensor, n: int, dim: int) -> None:
    """Refuse positions outside the dimension, as torch does on the CPU (XLA would clamp them)."""
    array = t._array()
    if isinstance(array, (Tracer, jax.ShapeDtypeStruct)) or not array.size:
        return
    host = np.asarray(array)
    low, high = int(host.min()), int(host.max())
    if low < -n or high >= n:
        bad = high if high >= n else low
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {n}")


def _full_index(ndim, dims, index):
    key = [slice(None)] * ndim
    for d, i in zip(dims, index):
        key[d] = i
    return tuple(key)


@op(name="index", method=False)
def _gather_nd(input: Array, index: list[Array], dims):
    return input[_full_index(input.ndim, dims, index)]


@op(name="index_put", method=False)
def _index_put(input: Array, value: Array, index: list[Array], dims, accumulate):
    key = _full_index(input.ndim, dims, index)
    value = cast(value, dtypes.from_numpy(input.dtype))
    return input.at[key].add(value) if accumulate else input.at[key].set(value)


@op(name="masked_set", method=False)
def _masked_set(input: Array, mask: Array, value: Array):
    mask = mask.astype(bool).reshape(mask.shape + (1,) * (input.ndim - mask.ndim))
    return jnp.where(mask, cast(value, dtypes.from_numpy(input.dtype)), input)


def _as_value(value, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value if value.device == like.device or value.dim() else value.to(like.device)
    if isinstance(value, (bool, int, float, complex, np.generic)):
        return creation.tensor(
            value.item() if isinstance(value, np.generic) else value, dtype=like.dtype, device=like.device
        )
    if isinstance(value, (list, tuple, np.ndarray)):
        return creation.tensor(value, device=like.device)
    raise TypeError(f"can't assign a {type_name(value)} to a {like.type()}")


def setitem(self: Tensor, key, value) -> None:
    """``tensor[key] = value``."""
    value = _as_value(value, self)
    view, layout = _parse(self, key)
    out = self if view is None else view
    out._check_in_place()
    masks = [i for i in layout if isinstance(i, Tensor) and i.dtype in _MASKS and i.dim()]
    others = [i for i in layout if isinstance(i, Tensor) and not any(i is m for m in masks)]
    if len(masks) == 1 and not others and value.dim() == 0 and layout[0] is masks[0] and None not in layout:
        out._assign(_masked_set(out, masks[0], value))
        return
    at, tensors = 0, {}
    for item in layout:
        if item is None:
            out = _unsqueeze(out, at)
            at += 1
        elif isinstance(item, Tensor) and item.dtype in _MASKS:
            if item.dim() == 0:
                if not bool(item):
                    return
                continue
            for i, positions in enumerate(np.nonzero(item._host())):
                tensors[at + i] = creation.tensor(positions)
            at += item.dim()
        elif isinstance(item, Tensor):
            tensors[at] = item
            at += 1
        else:
            at += 1
    if not tensors:
        shape = out.shape
        while value.dim() > len(shape) and value.shape[0] == 1:
            value = _squeeze(value, (0,))
        if out is self:
            out = view_whole(self) if self._path else self
        out.copy_(value)
        return
    for dim, t in tensors.items():
        _check_bounds(t, out.shape[dim], dim)
    result_shape = jax.eval_shape(
        lambda a, i: a[_full_index(a.ndim, tuple(tensors), i)],
        jax.ShapeDtypeStruct(out.shape, np.float32),
        [jax.ShapeDtypeStruct(t.shape, t._array().dtype) for t in tensors.values()],
    ).shape
    while value.dim() > len(result_shape) and value.shape[0] == 1:
        value = _squeeze(value, (0,))
    try:
        np.broadcast_shapes(value.shape, result_shape)
        fits = np.broadcast_shapes(value.shape, result_shape) == tuple(result_shape)
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of "
            "shape "
            f"{list(result_shape)}"
        )
    out._assign(_index_put(out, value, list(tensors.values()), tuple(tensors), False))


attach("__getitem__", getitem)
attach("__setitem__", setitem)


def index_put(input, indices, values, accumulate=False):
    """``input`` with ``values`` written (or added) at the positions of several index tensors."""
    out = input.clone()
    return index_put_(out, indices, values, accumulate)


def index_put_(self, indices, values, accumulate=False):
    """In-place form of ``index_put``."""
    if not accumulate:
        setitem(self, tuple(slice(None) if i is None else i for i in indices), values)
        return self
    self._check_in_place()
    places: dict = {}
    at = 0
    for t in indices:
        if t is None:
            at += 1
        elif t.dtype in _MASKS:
            for positions in np.nonzero(t._host()):
                places[at] = creation.tensor(positions)
                at += 1
        else:
            places[at] = t
            at += 1
    dims, tensors = tuple(places), list(places.values())
    for d, t in zip(dims, tensors):
        _check_bounds(t, self.shape[d], d)
    return self._assign(_index_put(self, values, tensors, dims, True))


attach("index_put", index_put)
attach("index_put_", index_put_)


def select(input, dim, index):
    """One slice of a dimension, as a view without it."""
    from .shape import wrap_dim

    dim = wrap_dim(dim, input.dim())
    index = index.item() if isinstance(index, Tensor) else index
    n = input.shape[dim]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}"
        )
    return _view_slices(input, {dim: index})


def narrow(input, dim, start, length):
    """``length`` elements of a dimension from ``start`` on, as a view."""
    from .shape import wrap_dim

    if input.dim() == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input.dim())
    if isinstance(start, Tensor):
        if start.dim() or start.dtype.category != 1:
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = start.item()
    n = input.shape[dim]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return _view_slices(input, {dim: slice(start, start + length)})


attach("select", select)
attach("narrow", narrow)

__all__ = [
    "index_put", "narrow", "select",
]  # fmt: skip
