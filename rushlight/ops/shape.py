"""Owns the views that reshape, permute, add or drop dimensions, with their inverses and strides.

May import the door, the tensor cell and jax.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from .. import dtypes
from .._graph.modes import state
from .._hooks import changes
from .._tensor import views
from .._tensor.tensor import Tensor
from ._execute import view_of
from ._op import Array, attach, method, op
from ._synonyms import as_method

view_op = functools.partial(op, view=True, linear=True)


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front.

    Raises:
        IndexError: there is no such dimension.
    """
    low, high = (-ndim, ndim - 1) if ndim else (-1, 0)
    if not low <= dim <= high:
        raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")
    return dim + max(ndim, 1) if dim < 0 else dim


def sizes_of(args) -> tuple:
    """Sizes from ``f(2, 3)`` or ``f((2, 3))``."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    return tuple(n if type(n) is int else n.__index__() for n in args)


def _given(function, args, named, names) -> tuple:
    """Sizes given one by one, or whole under their name.

    Raises:
        TypeError: another name, or both.
    """
    if not named:
        return args
    for name in named:
        if name not in names:
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
    if args or len(named) > 1:
        raise TypeError(f"{function}(): expected sizes by position or by the name '{names[0]}', received both")
    return tuple(named.values())


def infer_size(sizes, numel: int) -> tuple:
    """Sizes with the one ``-1`` filled in.

    Raises:
        RuntimeError: the sizes do not hold ``numel`` elements.
    """
    sizes = tuple(sizes)
    if -1 in sizes:
        if sizes.count(-1) > 1:
            raise RuntimeError("only one dimension can be inferred")
        known = math.prod(n for n in sizes if n != -1)
        if known == 0:
            if numel == 0:
                raise RuntimeError(
                    f"cannot reshape tensor of 0 elements into shape {list(sizes)} because the unspecified dimension "
                    "size -1 can be any value and is ambiguous"
                )
            raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {numel}")
        if numel % known:
            raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {numel}")
        return tuple(numel // known if n == -1 else n for n in sizes)
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"invalid shape dimension {min(sizes)}")
    if math.prod(sizes) != numel:
        raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {numel}")
    return sizes


# -- view and reshape -----------------------------------------------------------------------------------------------


def _unreshape(array, value, **_):
    return value.reshape(array.shape)


@view_op(
    name="view",
    method=False,
    inverse=_unreshape,
    geometry=lambda shape, strides, offset, size: (size, views.view_strides(shape, strides, size), offset),
)
def _view(input: Array, size):
    return input.reshape(size)


def _unbitcast(array, value, dtype):
    if value.ndim == array.ndim + 1:
        return jax.lax.bitcast_convert_type(value, array.dtype)
    if value.dtype.itemsize > array.dtype.itemsize:
        return jax.lax.bitcast_convert_type(value, array.dtype).reshape(array.shape)
    return jax.lax.bitcast_convert_type(value, array.dtype).reshape(array.shape)


def _bitcast_geometry(shape, strides, offset, dtype):
    raise NotImplementedError(
        "strides of a tensor viewed as another dtype are not supported by rushlight. Use .contiguous() first."
    )


@view_op(name="view_dtype", method=False, inverse=_unbitcast, geometry=_bitcast_geometry, differentiable=False)
def _view_dtype(input: Array, dtype):
    ratio = input.dtype.itemsize / dtype.itemsize
    if ratio > 1:
        out = jax.lax.bitcast_convert_type(input, dtype.np)
        return out.reshape(*input.shape[:-1], -1)
    if ratio < 1:
        split = input.reshape(*input.shape[:-1], -1, int(1 / ratio))
        return jax.lax.bitcast_convert_type(split, dtype.np)
    return jax.lax.bitcast_convert_type(input, dtype.np)


@method()
def view(self, *size, **named):
    """The same elements in another shape, or as another dtype of bits; shares memory.

    Raises:
        RuntimeError: the shape does not fit, or the strides do not allow it (use reshape).
    """
    size = _given("view", size, named, ("size", "dtype"))
    if len(size) == 1 and isinstance(size[0], dtypes.dtype):
        if size[0] is self.dtype:
            return view_of(self, _view.prepare((self, self.shape))[0])
        if self.dtype.category == 3 or size[0].category == 3:
            raise NotImplementedError("view(dtype) of complex tensors is not supported. Use view_as_real/complex.")
        return _view_dtype(self, size[0])
    wanted = infer_size(sizes_of(size), self.numel())
    if self._path:
        shape, strides, _ = self._geometry()
        if views.view_strides(shape, strides, wanted) is None:
            raise RuntimeError(
                "view size is not compatible with input tensor's size and stride (at least one dimension spans across "
                "two contiguous subspaces). Use .reshape(...) instead."
            )
    return _view(self, wanted)


@op(name="reshape_copy", method=False, linear=True)
def _reshape_copy(input: Array, size):
    return input.reshape(size)


def reshape(input, *shape, **named):
    """The same elements in another shape: a view where strides allow it, else a copy.

    Example:
        >>> import rushlight as torch
        >>> torch.arange(6).reshape(2, -1)
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    shape = _given("reshape", shape, named, ("shape",))
    wanted = infer_size(sizes_of(shape), input.numel())
    if input._path:
        old, strides, _ = input._geometry()
        if views.view_strides(old, strides, wanted) is None:
            return _reshape_copy(input, wanted)
    return _view(input, wanted)


attach("reshape", reshape)


@method()
def view_as(self, other):
    """``self.view(other.size())``."""
    return self.view(other.shape)


@method()
def reshape_as(self, other):
    """``self.reshape(other.size())``."""
    return self.reshape(other.shape)


def flatten(input, start_dim=0, end_dim=-1):
    """Merge dimensions ``start_dim`` to ``end_dim`` into one."""
    shape = input._array().shape
    start, end = wrap_dim(start_dim, len(shape)), wrap_dim(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return input.reshape(1)
    if start == end:
        return input
    return input.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


def ravel(input):
    """All elements in one dimension."""
    return input.reshape(-1)


def unflatten(input, dim, sizes):
    """Split one dimension into several."""
    shape = input._array().shape
    dim = wrap_dim(dim, len(shape))
    try:
        sizes = infer_size(sizes, shape[dim])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[dim]}) in the "
            "input tensor"
        ) from None
    return input.view(*shape[:dim], *sizes, *shape[dim + 1 :])


for _function in (flatten, ravel, unflatten):
    attach(_function.__name__, _function)


# -- permutations ---------------------------------------------------------------------------------------------------


def _pick(values, dims):
    return tuple(values[d] for d in dims)


@view_op(
    name="permute",
    method=False,
    inverse=lambda array, value, dims: value.transpose([dims.index(i) for i in range(len(dims))]),
    geometry=lambda shape, strides, offset, dims: (_pick(shape, dims), _pick(strides, dims), offset),
)
def _permute(input: Array, dims):
    return input.transpose(dims)


def permute(input, *dims, **named):
    """The dimensions in another order."""
    dims = _given("permute", dims, named, ("dims",))
    ndim = input.dim()
    order = sizes_of(dims) if dims else ()
    if len(order) != ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(order)}"
        )
    order = tuple(wrap_dim(d, ndim) for d in order)
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute(input, order)


def transpose(input, dim0, dim1):
    """Swap two dimensions."""
    ndim = input.dim()
    a, b = wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = order[b], order[a]
    return _permute(input, tuple(order))


def t(input):
    """The transpose of a matrix (vectors and scalars as they are)."""
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return transpose(input, 0, 1) if input.dim() == 2 else view_of(input, _view.prepare((input, input.shape))[0])


def movedim(input, source, destination):
    """Move dimensions to other places; the rest keep their order."""
    ndim = input.dim()
    source = [wrap_dim(d, ndim) for d in ((source,) if isinstance(source, int) else source)]
    destination = [wrap_dim(d, ndim) for d in ((destination,) if isinstance(destination, int) else destination)]
    if len(source) != len(destination):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source and destination must have the same number of dims"
        )
    if len(set(source)) != len(source) or len(set(destination)) != len(destination):
        raise RuntimeError("movedim: repeated dim in `source` or `destination`")
    rest = iter([d for d in range(ndim) if d not in source])
    order = [source[destination.index(i)] if i in destination else next(rest) for i in range(ndim)]
    return _permute(input, tuple(order))


attach("permute", permute)
swapaxes = swapdims = transpose
moveaxis = movedim
for _name, _function in {
    "transpose": transpose, "swapaxes": transpose, "swapdims": transpose, "t": t, "movedim": movedim,
    "moveaxis": movedim,
}.items():  # fmt: skip
    attach(_name, _function)


def adjoint(input):
    """The conjugate transpose of the last two dimensions."""
    return transpose(input, -2, -1).conj()


def _reversed_dims(self):
    return _permute(self, tuple(range(self.dim()))[::-1])


attach("T", property(_reversed_dims))
attach("mT", property(lambda self: transpose(self, -2, -1)))
for _name in ("mH", "H"):
    attach(_name, property(adjoint))
attach("adjoint", adjoint)


# -- adding and dropping dimensions ---------------------------------------------------------------------------------


@view_op(
    name="squeeze",
    method=False,
    inverse=lambda array, value, dims: value.reshape(array.shape),
    geometry=lambda shape, strides, offset, dims: (
        tuple(n for i, n in enumerate(shape) if i not in dims),
        tuple(s for i, s in enumerate(strides) if i not in dims),
        offset,
    ),
)
def _squeeze(input: Array, dims):
    return jnp.squeeze(input, dims)


def squeeze(input, dim=None):
    """Drop dimensions of size 1: all, or those named that have size 1."""
    shape = input._array().shape
    if dim is None:
        dims = tuple(i for i, n in enumerate(shape) if n == 1)
    else:
        named = (dim,) if isinstance(dim, int) else dim
        dims = tuple(sorted({wrap_dim(d, len(shape)) for d in named}))
        dims = tuple(d for d in dims if shape and shape[d] == 1)
    return _squeeze(input, dims)


def _unsqueeze_geometry(shape, strides, offset, dim):
    step = shape[dim] * strides[dim] if dim < len(shape) else 1
    return (*shape[:dim], 1, *shape[dim:]), (*strides[:dim], step, *strides[dim:]), offset


@view_op(
    name="unsqueeze", method=False, inverse=lambda array, value, dim: value.reshape(array.shape),
    geometry=_unsqueeze_geometry,
)  # fmt: skip
def _unsqueeze(input: Array, dim):
    return jnp.expand_dims(input, dim)


def unsqueeze(input, dim):
    """Insert a dimension of size 1 at ``dim``."""
    return _unsqueeze(input, wrap_dim(dim, input.dim() + 1))


def _into_shape(function):
    """The in-place form of a view: the tensor itself takes the new shape."""
    function = as_method(function.__name__, function)

    def method_(self, *args, **kwargs):
        viewed = function(self, *args, **kwargs)
        self._check_in_place()
        base = self._base
        if base is None:
            edge = viewed._edge()
            self._storage.write(viewed._array())
            if edge is not None:
                self._node, self._index = edge
                self._requires_grad = True
            self._history += 1
            changes.count += 1  # the storage has another shape
        else:
            for name in ("_path", "_relative", "_node", "_index", "_requires_grad", "_seen"):
                setattr(self, name, getattr(viewed, name))
            self._cache, self._cache_version, self._strides = viewed._cache, viewed._cache_version, None
        return self

    method_.__name__ = method_.__qualname__ = function.__name__ + "_"
    method_.__doc__ = f"In-place form of ``{function.__name__}``."
    return method_


for _function in (squeeze, unsqueeze):
    attach(_function.__name__, _function)
for _function in (squeeze, unsqueeze, transpose, t, swapaxes):
    attach(_function.__name__ + "_", _into_shape(_function))


# -- by strides -----------------------------------------------------------------------------------------------------


@view_op(
    name="as_strided",
    method=False,
    geometry=lambda shape, strides, offset, size, stride, start: (size, stride, start),
)
def _as_strided(input: Array, size, stride, start):
    index = jnp.full(size, start)
    for axis, (n, s) in enumerate(zip(size, stride)):
        index = index + (jnp.arange(n) * s).reshape([-1 if i == axis else 1 for i in range(len(size))])
    return input.reshape(-1)[index]


def as_strided(input, size, stride, storage_offset=None):
    """A view of the tensor's whole storage with the given strides and offset, in elements."""
    size, stride = sizes_of((tuple(size),)), sizes_of((tuple(stride),))
    start = input.storage_offset() if storage_offset is None else storage_offset
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: " + str(list(stride))
        )
    if state.trace is not None:
        state.trace.looks.whole(input)
    last = start + sum((n - 1) * s for n, s in zip(size, stride)) if 0 not in size else 0
    total = math.prod(input._storage.array.shape)
    if last >= max(total, 1):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, requiring {last + 1} "
            f"elements, are out of bounds for storage of {total} elements"
        )
    root = input._base if input._base is not None else input
    return _as_strided(root, size, stride, start)


attach("as_strided", as_strided)


def view_whole(tensor: Tensor) -> Tensor:
    """A view of everything: what an identity slice gives."""
    return view_of(tensor, _view.prepare((tensor, tensor.shape))[0])


attach("alias", view_whole)

__all__ = [
    "adjoint", "as_strided", "flatten", "moveaxis", "movedim", "permute", "ravel", "reshape", "squeeze", "swapaxes",
    "swapdims", "t", "transpose", "unflatten", "unsqueeze",
]  # fmt: skip
