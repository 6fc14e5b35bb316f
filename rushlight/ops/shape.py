"""Owns the operators that look at the same memory another way: views, with their inverses and strides.

May import the door, the tensor cell and jax.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from .. import dtypes
from .._tensor import views
from .._tensor.tensor import Tensor
from ._op import Array, attach, method, op, view_of

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
def view(self, *size):
    """The same elements in another shape, or as another dtype of bits; shares memory.

    Raises:
        RuntimeError: the shape does not fit, or the strides do not allow it (use reshape).
    """
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


def reshape(input, *shape):
    """The same elements in another shape: a view where strides allow it, else a copy.

    Example:
        >>> import rushlight as torch
        >>> torch.arange(6).reshape(2, -1)
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
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


def permute(input, *dims):
    """The dimensions in another order."""
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


# -- expanding ------------------------------------------------------------------------------------------------------


def _no_write(array, value, **_):
    raise RuntimeError(
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
        "Please clone() the tensor before performing the operation."
    )


def _expand_geometry(shape, strides, offset, size):
    lead = len(size) - len(shape)
    old = (1,) * lead + tuple(shape)
    steps = (0,) * lead + tuple(strides)
    return size, tuple(s if n == m else 0 for s, n, m in zip(steps, old, size)), offset


@view_op(name="expand", method=False, inverse=_no_write, geometry=_expand_geometry)
def _expand(input: Array, size):
    return jnp.broadcast_to(input, size)


@method()
def expand(self, *size, implicit=False):
    """Repeat dimensions of size 1 without copying; -1 keeps a size."""
    size, shape = sizes_of(size), self._array().shape
    lead = len(size) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({scalar_type(self)}{{{list(shape)}}}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    out = []
    for i, n in enumerate(size):
        old = shape[i - lead] if i >= lead else None
        if n == -1:
            if old is None:
                raise RuntimeError(
                    f"expand({scalar_type(self)}{{{list(shape)}}}, size={list(size)}): the expanded size of the tensor "
                    f"(-1) isn't allowed in a leading, non-existing dimension {i}"
                )
            n = old
        elif old is not None and old not in (1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton "
                f"dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(shape)}"
            )
        out.append(n)
    return _expand(self, tuple(out))


def scalar_type(t) -> str:
    """The old type name that torch's messages use (``torch.FloatTensor``)."""
    return t.type()


@method()
def expand_as(self, other):
    """``self.expand(other.size())``."""
    return self.expand(other.shape)


def broadcast_to(input, size):
    """``input`` expanded to ``size``."""
    return input.expand(size)


attach("broadcast_to", broadcast_to)


def broadcast_shapes(*shapes):
    """The shape that all of ``shapes`` broadcast to."""
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out: list = []
    for shape in shapes:
        out = [1] * (len(shape) - len(out)) + out
        for i in range(1, len(shape) + 1):
            n, m = shape[-i], out[-i]
            if n < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({n}): ({n})")
            if n != m and 1 not in (n, m):
                raise RuntimeError(
                    "Shape mismatch: objects cannot be broadcast to a single shape: received "
                    f"{', '.join(map(str, map(list, shapes)))}. Sizes must be equal or 1."
                )
            out[-i] = m if n == 1 else n
    return dtypes.Size(out)


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    size = broadcast_shapes(*(t.shape for t in tensors))
    return tuple(t.expand(size) for t in tensors)


# -- other views ----------------------------------------------------------------------------------------------------


def _diagonal_geometry(shape, strides, offset, offset_, dim1, dim2):
    rest = [i for i in range(len(shape)) if i not in (dim1, dim2)]
    rows, cols = shape[dim1], shape[dim2]
    length = max(min(rows, cols - offset_) if offset_ >= 0 else min(rows + offset_, cols), 0)
    start = offset + (offset_ * strides[dim2] if offset_ >= 0 else -offset_ * strides[dim1])
    return (*_pick(shape, rest), length), (*_pick(strides, rest), strides[dim1] + strides[dim2]), start


@view_op(name="diagonal", method=False, geometry=_diagonal_geometry)
def _diagonal(input: Array, offset_, dim1, dim2):
    return jnp.diagonal(input, offset_, dim1, dim2)


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonals of two dimensions, as a view, in a last dimension."""
    ndim = input.dim()
    a, b = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return _diagonal(input, offset, a, b)


def _unfold_geometry(shape, strides, offset, dim, size, step):
    count = (shape[dim] - size) // step + 1
    new_shape = (*shape[:dim], count, *shape[dim + 1 :], size)
    return new_shape, (*strides[:dim], strides[dim] * step, *strides[dim + 1 :], strides[dim]), offset


@view_op(name="unfold", method=False, geometry=_unfold_geometry)
def _unfold(input: Array, dim, size, step):
    count = (input.shape[dim] - size) // step + 1
    index = jnp.arange(count)[:, None] * step + jnp.arange(size)[None, :]
    out = jnp.take(input, index.reshape(-1), axis=dim)
    out = out.reshape(*input.shape[:dim], count, size, *input.shape[dim + 1 :])
    return jnp.moveaxis(out, dim + 1, -1)


@method()
def unfold(self, dimension, size, step):
    """All windows of ``size`` along a dimension, ``step`` apart, in a new last dimension."""
    dim = wrap_dim(dimension, self.dim())
    if self.dim() == 0:
        return self.reshape(1).unfold(0, size, step)[0]
    if size > self.shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {self.shape[dim]} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return _unfold(self, dim, size, step)


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
    last = start + sum((n - 1) * s for n, s in zip(size, stride)) if 0 not in size else 0
    total = math.prod(input._storage.array.shape)
    if last >= max(total, 1):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, requiring {last + 1} "
            f"elements, are out of bounds for storage of {total} elements"
        )
    root = input._base if input._base is not None else input
    return _as_strided(root, size, stride, start)


for _function in (diagonal, as_strided):
    attach(_function.__name__, _function)


def _complex_geometry(shape, strides, offset):
    return (*shape, 2), (*(s * 2 for s in strides), 1), offset * 2


@view_op(
    name="view_as_real", geometry=_complex_geometry,
    inverse=lambda array, value: jax.lax.complex(value[..., 0], value[..., 1]),
)  # fmt: skip
def view_as_real(input: Array):
    """A complex tensor as real pairs in a last dimension of size 2."""
    return jnp.stack([input.real, input.imag], -1)


@view_op(
    name="view_as_complex",
    geometry=lambda shape, strides, offset: (shape[:-1], tuple(s // 2 for s in strides[:-1]), offset // 2),
    inverse=lambda array, value: jnp.stack([value.real, value.imag], -1),
)
def view_as_complex(input: Array):
    """Real pairs in a last dimension of size 2 as a complex tensor."""
    return jax.lax.complex(input[..., 0], input[..., 1])


def _part(name, take, put, shift):
    return view_op(
        take,
        name=name,
        method=False,
        geometry=lambda shape, strides, offset: (shape, tuple(s * 2 for s in strides), offset * 2 + shift),
        inverse=put,
    )


def _take_real(input: Array):
    return input.real


def _take_imag(input: Array):
    return input.imag


_real = _part("real", _take_real, lambda array, value: jax.lax.complex(value, array.imag), 0)
_imag = _part("imag", _take_imag, lambda array, value: jax.lax.complex(array.real, value), 1)


def real(input):
    """The real part, as a view; a real tensor as it is."""
    return _real(input) if input.is_complex() else input


def imag(input):
    """The imaginary part, as a view.

    Raises:
        RuntimeError: the tensor is real.
    """
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _imag(input)


def _set_part(read):
    def setter(self, value):
        read(self).copy_(value)

    return setter


attach("real", property(real, _set_part(real)))
attach("imag", property(imag, _set_part(imag)))


def view_whole(tensor: Tensor) -> Tensor:
    """A view of everything: what an identity slice gives."""
    return view_of(tensor, _view.prepare((tensor, tensor.shape))[0])


attach("alias", view_whole)

__all__ = [
    "adjoint", "as_strided", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "diagonal", "flatten",
    "imag", "moveaxis", "movedim", "permute", "ravel", "real", "reshape", "squeeze", "swapaxes", "swapdims", "t",
    "transpose", "unflatten", "unsqueeze", "view_as_complex", "view_as_real",
]  # fmt: skip
