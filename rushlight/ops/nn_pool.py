"""Owns max pooling, with and without indices, plain and adaptive, and its inverse.

May import the door, nn_common and jax. Windows are taken one dimension at a time, the last first, each step keeping
an int8 position: that finds the same first maximum as torch's row-major scan, and its derivative is a few padded
selections instead of one per window element (a quarter of the time of a flat window of 9 in ResNet's stem).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ._execute import scalar_name
from ._op import Array, op
from .nn_common import concrete, dtype_of, sizes


def pooled_size(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit into ``n`` padded elements."""
    free = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (free + (stride - 1 if ceil_mode else 0)) // stride + 1
    # With ceil_mode the last window has to start inside the input or the left padding.
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    return count


def window_options(name, nd, kernel, stride, padding, dilation=1):
    """The window's numbers, one per dimension, checked.

    Raises:
        RuntimeError: a wrong count, or a number out of range.
    """
    words = {1: "one int", 2: "two ints", 3: "three ints"}[nd]
    out = []
    for label, value in (("kernel_size", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)):
        if label == "stride" and (value is None or value == ()):
            value = kernel
        omitted = "be omitted, " if label == "stride" else ""
        out.append(sizes(value, nd, f"{name}: {label} must either {omitted}be a single int, or a tuple of {words}"))
    kernel, stride, padding, dilation = out
    if any(s == 0 for s in stride):
        raise RuntimeError("stride should not be zero")
    if any(s < 0 for s in stride) or any(k < 1 for k in kernel) or any(d < 1 for d in dilation):
        raise RuntimeError(
            f"{name}: kernel size, stride and dilation should be greater than zero, but got kernel_size={list(kernel)}"
            f", stride={list(stride)}, dilation={list(dilation)}"
        )
    for k, p, d in zip(kernel, padding, dilation):
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            if name == "max_pool1d":
                raise RuntimeError(
                    f"max_pool1d() padding should be at most half of kernel size, but got padding={p} and "
                    f"kernel_size={k}"
                )
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )
    return kernel, stride, padding, dilation


def check_output(name, spatial, channels, counts):
    """Refuse windows that do not fit.

    Raises:
        RuntimeError: an output dimension would be empty.
    """
    if all(c >= 1 for c in counts):
        return
    if name == "max_pool1d":
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {min(counts)}")
    # torch's one-dimensional pooling runs in two.
    lead = [1] if len(spatial) == 1 else []
    before = "x".join(map(str, [channels, *lead, *spatial]))
    after = "x".join(map(str, [channels, *lead, *counts]))
    raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). Output size is too small")


def lowest(dtype):
    """What padding is filled with so that it never wins."""
    if jnp.issubdtype(dtype, jnp.floating):
        return np.array(-np.inf, dtype)
    return np.array(jnp.iinfo(dtype).min, dtype)


def taps(x, axis, kernel, stride, dilation, count):
    """The ``kernel`` strided slices of which a window consists."""
    return [
        lax.slice_in_dim(x, k * dilation, k * dilation + (count - 1) * stride + 1, stride, axis) for k in range(kernel)
    ]


def _best(parts):
    """The maximum of several arrays and which of them has it: the first, unless a later one is NaN."""
    value, where = parts[0], jnp.zeros(parts[0].shape, jnp.int8 if len(parts) < 128 else jnp.int32)
    for k, part in enumerate(parts[1:], 1):
        better = (part > value) | (part != part)
        value = jnp.where(better, part, value)
        where = jnp.where(better, jnp.array(k, where.dtype), where)
    return value, where


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4, 5))
def _max_along(x, axis, kernel, stride, dilation, count):
    return functools.reduce(jnp.maximum, taps(x, axis, kernel, stride, dilation, count))


@_max_along.defjvp
def _max_along_jvp(axis, kernel, stride, dilation, count, primals, tangents):
    value, where = _best(taps(primals[0], axis, kernel, stride, dilation, count))
    moved = taps(tangents[0], axis, kernel, stride, dilation, count)
    zero = jnp.zeros((), value.dtype)
    return value, functools.reduce(jnp.add, [jnp.where(where == k, t, zero) for k, t in enumerate(moved)])


def _padded(x, nd, kernel, stride, padding, dilation, counts):
    """Filled on the left by the padding, and on the right as far as the last window reaches."""
    first = x.ndim - nd
    config = [(0, 0, 0)] * first
    for i in range(nd):
        reach = (counts[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
        config.append((padding[i], max(reach - padding[i] - x.shape[first + i], 0), 0))
    if all(low == high == 0 for low, high, _ in config):
        return x
    return lax.pad(x, lowest(x.dtype), config)


def check_dims(name, input, nd):
    """Refuse inputs without the batch (optional), channel and spatial dimensions.

    Raises:
        RuntimeError: another number of dimensions, or an empty one.
    """
    if input.ndim in (nd + 1, nd + 2) and 0 not in input.shape[input.ndim - nd - 1 :]:
        return
    if nd == 1:
        raise RuntimeError(
            f"{name}: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got:{list(input.shape)}"
        )
    raise RuntimeError(f"non-empty {nd + 1}D or {nd + 2}D (batch mode) tensor expected for input")


@op(name="max_pool", method=False)
def _max_pool(input: Array, kernel, stride, padding, dilation, ceil_mode, nd, indices):
    name = f"max_pool{nd}d"
    kernel, stride, padding, dilation = window_options(name, nd, kernel, stride, padding, dilation)
    if input.dtype == bool:
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(dtype_of(input))}'")
    check_dims(name, input, nd)
    first = input.ndim - nd
    spatial = input.shape[first:]
    counts = [
        pooled_size(n, k, s, p, d, ceil_mode) for n, k, s, p, d in zip(spatial, kernel, stride, padding, dilation)
    ]
    check_output(name, spatial, input.shape[first - 1], counts)
    x = _padded(input, nd, kernel, stride, padding, dilation, counts)
    if not indices:
        for i in reversed(range(nd)):
            x = _max_along(x, first + i, kernel[i], stride[i], dilation[i], counts[i])
        return x
    flat = lax.stop_gradient(x)
    position = None
    for i in reversed(range(nd)):
        axis = first + i
        options = (axis, kernel[i], stride[i], dilation[i], counts[i])
        flat, where = _best(taps(flat, *options))
        start = jnp.arange(counts[i]).reshape([-1 if j == axis else 1 for j in range(input.ndim)]) * stride[i]
        along = (start - padding[i] + where * jnp.int64(dilation[i])) * math.prod(spatial[i + 1 :])
        if position is None:
            position = along
        else:
            position = along + _select(where, taps(position, *options))
        x = _max_along(x, *options)
    return x, position


def _select(where, parts):
    return functools.reduce(lambda kept, pair: jnp.where(where == pair[0], pair[1], kept), enumerate(parts), parts[0])


def _pool(nd):
    def pool(
        input,
        kernel_size,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode=False,
        return_indices=False,
    ):
        return _max_pool(input, kernel_size, stride, padding, dilation, bool(ceil_mode), nd, bool(return_indices))

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        return _max_pool(input, kernel_size, stride, padding, dilation, bool(ceil_mode), nd, True)

    def adaptive(input, output_size, return_indices=False):
        return _adaptive_max(input, output_size, nd, bool(return_indices))

    def adaptive_with_indices(input, output_size, return_indices=False):
        return _adaptive_max(input, output_size, nd, True)

    pool.__name__ = pool.__qualname__ = f"max_pool{nd}d"
    pool.__doc__ = f"""The maximum of each window over {nd} dimension(s).

    Args:
        kernel_size, stride, padding, dilation: one int or {nd}; the stride defaults to the kernel's size.
        ceil_mode: keep a last window that is cut off by the border.
        return_indices: also give each maximum's position in the flattened input plane.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    with_indices.__name__ = with_indices.__qualname__ = f"max_pool{nd}d_with_indices"
    with_indices.__doc__ = f"``max_pool{nd}d`` that gives (values, indices)."
    adaptive.__name__ = adaptive.__qualname__ = f"adaptive_max_pool{nd}d"
    adaptive.__doc__ = f"The maximum over windows chosen so that the result has ``output_size`` ({nd} dimension(s))."
    adaptive_with_indices.__name__ = f"adaptive_max_pool{nd}d_with_indices"
    adaptive_with_indices.__doc__ = f"``adaptive_max_pool{nd}d`` that gives (values, indices)."
    return pool, with_indices, adaptive, adaptive_with_indices


def adaptive_bounds(n: int, count: int):
    """Where adaptive windows start, and the index matrix (window, element) that repeats each window's last element."""
    start = np.arange(count) * n // max(count, 1)
    end = -((np.arange(1, count + 1) * -n) // max(count, 1))
    width = int((end - start).max()) if count else 0
    return start, end, np.minimum(start[:, None] + np.arange(width), end[:, None] - 1)


def adaptive_size(name, input, output_size, nd, colon=":"):
    """The result's spatial size, None meaning the input's.

    Raises:
        RuntimeError: the dimensions or sizes do not fit.
        ValueError: fewer dimensions than sizes.
    """
    if nd > 1 and isinstance(output_size, (list, tuple)) and input.ndim <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    if input.ndim not in (nd + 1, nd + 2):
        if nd == 1:
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' (while "
                f"checking arguments for {name})"
            )
        raise RuntimeError(f"{name}(): Expected {nd + 1}D or {nd + 2}D tensor, but got{colon} {list(input.shape)}")
    spatial = input.shape[-nd:]
    if output_size is None or isinstance(output_size, int):
        output_size = (output_size,) * nd
    if len(output_size) == 1:
        output_size = tuple(output_size) * nd
    if len(output_size) != nd:
        raise RuntimeError(f"{name}: output_size must be {nd}")
    size = tuple(n if want is None else int(want) for n, want in zip(spatial, output_size))
    if any(n < 0 for n in size):
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            f"{{{', '.join(map(str, size))}}}"
        )
    return size


@op(name="adaptive_max_pool", method=False)
def _adaptive_max(input: Array, output_size, nd, indices):
    size = adaptive_size(f"adaptive_max_pool{nd}d", input, output_size, nd)
    first = input.ndim - nd
    x, flat, position = input, lax.stop_gradient(input), None
    for i in reversed(range(nd)):
        axis, n = first + i, input.shape[first + i]
        if n % max(size[i], 1) == 0 and size[i]:
            options = (axis, n // size[i], n // size[i], 1, size[i])
            parts, start = taps(flat, *options), np.arange(size[i]) * (n // size[i])
            x = _max_along(x, *options)
        else:
            start, _, index = adaptive_bounds(n, size[i])
            # Windows overlap: lay them out one after another, then take every width-th.
            width = index.shape[1]
            options = (axis, width, width, 1, size[i])
            x = _max_along(jnp.take(x, index.reshape(-1), axis=axis), *options)
            parts = taps(jnp.take(flat, index.reshape(-1), axis=axis), *options)
        flat, where = _best(parts)
        if indices:
            along = jnp.asarray(start).reshape([-1 if j == axis else 1 for j in range(input.ndim)])
            along = (along + where) * math.prod(input.shape[axis + 1 :])
            if position is not None:
                if n % max(size[i], 1) == 0 and size[i]:
                    position = _select(where, taps(position, *options))
                else:
                    position = _select(where, taps(jnp.take(position, index.reshape(-1), axis=axis), *options))
                along = along + position
            position = along
    return (x, position) if indices else x


@op(name="max_unpool", method=False)
def _max_unpool(input: Array, indices: Array, size, nd):
    lead = input.shape[: input.ndim - nd]
    planes = math.prod(lead)
    out = _placed(input.reshape(planes, -1), indices.reshape(planes, -1), math.prod(size))
    return out.reshape(*lead, *size)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _placed(values, indices, n):
    """Zeros with these values in these columns; of several values for one column, one."""
    return jnp.zeros((values.shape[0], n), values.dtype).at[jnp.arange(values.shape[0])[:, None], indices].set(values)


@_placed.defjvp
def _placed_jvp(n, primals, tangents):
    # In torch every value gets the gradient of its column, also one that another value replaced.
    (values, indices), rows = primals, jnp.arange(primals[0].shape[0])[:, None]
    moved = jnp.zeros((values.shape[0], n), values.dtype).at[rows, indices].add(tangents[0])
    return _placed(values, indices, n), moved


def _check_indices(indices, shape, size, nd):
    """Refuse indices of the wrong dtype or shape, and, where they are at hand, outside the output.

    Raises:
        RuntimeError: as torch.
    """
    given, name = list(indices.shape), f"max_unpooling{nd}d"
    # torch's one-dimensional unpooling runs in two.
    line = [1] if nd == 1 else []
    if indices._array().dtype != jnp.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {scalar_name(indices.dtype)}")
    if len(shape) not in (nd + 1, nd + 2):
        raise RuntimeError(
            f"Input to {name} should be a {nd + 1}d or {nd + 2}d Tensor, but got a tensor with {len(shape)} dimensions."
        )
    if given != list(shape):
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(shape) + line}) but got indices "
            f"tensor with shape: {given + line}"
        )
    host = concrete(indices)
    if host is not None:
        bad = host[(host < 0) | (host >= math.prod(size))]
        if bad.size:
            volume = "x".join(map(str, (*size, *line)))
            raise RuntimeError(f"Found an invalid max index: {bad[0]} (output volumes are of size {volume})")


def _unpool(nd):
    def unpool(input, indices, kernel_size, stride: Any = None, padding: Any = 0, output_size: Any = None):
        kernel, stride, padding, _ = window_options(f"max_unpool{nd}d", nd, kernel_size, stride, padding)
        shape = input._array().shape
        default = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(shape[-nd:], stride, kernel, padding)]
        if output_size is None:
            _check_indices(indices, shape, default, nd)
            return _max_unpool(input, indices, tuple(default), nd)
        wanted = output_size[-nd:]
        size = tuple(wanted)
        if len(output_size) not in (nd, len(shape)):
            raise ValueError(
                f"output_size should be a sequence containing {nd} or {nd + 2} elements, but it has a length of "
                f"'{len(output_size)}'"
            )
        for i in range(nd):
            low, high = default[i] - stride[i], default[i] + stride[i]
            if not low < size[i] < high:
                raise ValueError(f'invalid output_size "{wanted}" (dim {i} must be between {low} and {high})')
        _check_indices(indices, shape, size, nd)
        return _max_unpool(input, indices, size, nd)

    unpool.__name__ = unpool.__qualname__ = f"max_unpool{nd}d"
    unpool.__doc__ = f"Put the maxima of ``max_pool{nd}d`` back where they came from, zeros elsewhere."
    return unpool


max_pool1d, max_pool1d_with_indices, adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _pool(1)
max_pool2d, max_pool2d_with_indices, adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _pool(2)
max_pool3d, max_pool3d_with_indices, adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _pool(3)
max_unpool1d, max_unpool2d, max_unpool3d = _unpool(1), _unpool(2), _unpool(3)

__all__ = ["adaptive_max_pool1d", "max_pool1d", "max_pool1d_with_indices", "max_pool2d", "max_pool3d"]
