"""Owns the views that repeat, skip or take apart: expand, diagonals, windows, the parts of complex numbers.

May import shapes, the door, the tensor cell and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .. import dtypes
from ._op import Array, attach, method
from .shape import _pick, sizes_of, view_op, wrap_dim

# -- expanding ------------------------------------------------------------------------------------------------------


def _no_write(array, value, size, **_):
    if math.prod(size) == array.size:  # only dimensions of size 1 were added: nothing is repeated
        return value.reshape(array.shape)
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
def expand(self, *sizes, size=None, implicit=False):
    """Repeat dimensions of size 1 without copying; -1 keeps a size."""
    size, shape = sizes_of(sizes if size is None else (size,)), self._array().shape
    lead = len(size) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand({scalar_type(self)}{{{list(shape)}}}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    out = []
    for i, n in reversed(list(enumerate(size))):
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
    return _expand(self, tuple(reversed(out)))


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


@method(name="broadcast_to")
def _broadcast_to(self, *sizes, size=None):
    """This tensor expanded to a size, given whole or number by number."""
    return self.expand(*sizes) if size is None else self.expand(size)


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


# -- diagonals and windows ------------------------------------------------------------------------------------------


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


attach("diagonal", diagonal)

# -- complex numbers ------------------------------------------------------------------------------------------------


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

__all__ = [
    "broadcast_shapes", "broadcast_tensors", "broadcast_to", "diagonal", "imag", "real", "view_as_complex",
    "view_as_real",
]  # fmt: skip
