"""Owns Winograd's minimal filtering: convolutions with kernels of 3 in two thirds or less of their multiplications.

May import held values and jax. Two results of a sum over three shifts take four products of sums of the operands
instead of six, and in two dimensions sixteen instead of thirty-six (Lavin and Gray, 2016, F(2x2, 3x3)). Every result
still depends on its own window alone, and rounding is that of XLA's convolution.
"""

from __future__ import annotations

import math
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._orders import Held

# Channels, harmonically, from which fewer products are worth the sums around them.
_CHANNELS, _CHANNELS_OF_GRADIENT = 20, 48
# Pictures up to which XLA's gradient of a kernel, whose innermost loop is over them, is slow in any case.
_FEW = 2
# Tiles from which the transformed kernel is read less than it is used, and products in each of the sixteen from which
# the cores share them well.
_TILES, _PRODUCTS = 48, 5_000_000


def fits(lhs: Held, rhs: Held, conv, out) -> bool:
    """Whether a convolution is faster this way."""
    if not _plain(lhs, conv) or set(rhs.shape[2:]) != {3}:
        return False
    tiles, channels = lhs.shape[0] * math.prod(map(_tiles, out)), rhs.shape[:2]
    return _between(*channels) >= _CHANNELS and tiles >= _TILES and tiles * math.prod(channels) >= _PRODUCTS


def fits_gradient(lhs: Held, rhs: Held, conv, out) -> bool:
    """Whether the gradient of such a convolution with respect to its kernel is."""
    if not _plain(lhs, conv) or set(out) != {3}:
        return False
    channels, pictures = _between(lhs.shape[0], rhs.shape[0]), lhs.shape[1]
    wide = channels >= _CHANNELS_OF_GRADIENT or (pictures <= _FEW and channels >= _CHANNELS)
    return wide and pictures * math.prod(map(_tiles, rhs.shape[2:])) >= _TILES


def _plain(lhs: Held, conv) -> bool:
    steps = {*conv.strides, *conv.lhs_dilation, *conv.rhs_dilation, conv.groups, conv.batch_groups}
    return lhs.ndim == 4 and steps == {1} and jnp.dtype(conv.dtype) in (jnp.float32, jnp.float64)


def _between(a: int, b: int) -> float:
    return a * b / (a + b)


def _tiles(size: int) -> int:
    return -(-size // 2)


def _each(arrays, function) -> list:
    return [part for array in arrays for part in function(_once(array))]


def _halves(array, axis: int):
    """What lies at even and at odd places."""
    n = array.shape[axis]
    return [lax.slice_in_dim(array, at, n, 2, axis) for at in (0, 1)]


def _windows(array, axis: int) -> list:
    """The four sums of each four neighbours, two apart."""
    even, odd = _halves(array, axis)
    n = even.shape[axis] - 1
    (a, c), (b, d) = [[lax.slice_in_dim(half, at, at + n, axis=axis) for at in (0, 1)] for half in (even, odd)]
    return [a - c, b + c, c - b, b - d]


def _once(array):
    """The same values, of which XLA makes an array before it goes on.

    Else it computes what they are made of again inside of each of the sums that they go into, and compiles each anew
    for every layer. It does not repeat divisions and keeps this one, which LLVM knows to be by 1; barriers it removes.
    """
    one = np.int32(1)
    return array / lax.clamp(one, array.astype(one.dtype), one).astype(array.dtype)


def _padded(array, conv, tiles):
    pads = [(low, 2 * n + 2 - size - low, 0) for n, size, (low, _) in zip(tiles, array.shape[1:], conv.padding)]
    return lax.pad(array, array.dtype.type(0), [(0, 0, 0), *pads, (0, 0, 0)])


def _inputs(held: Held, order, conv, tiles) -> list:
    parts = [_padded(held.get(order), conv, tiles)]
    for axis in range(1, held.ndim - 1):
        parts = _each(parts, partial(_windows, axis=axis))
    return parts


def _kernel(k) -> list:
    total, middle = (k[0] + k[2]) * 0.5, k[1] * 0.5
    return [k[0], total + middle, total - middle, k[2]]


def _fours(parts, function) -> list:
    """Apply a function along the last dimension that was transformed, and put what it returns in the first place."""
    rows = [function(parts[i : i + 4]) for i in range(0, len(parts), 4)]
    return [row[i] for i in range(len(rows[0])) for row in rows]


def _results(m) -> list:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def convolve(lhs: Held, rhs: Held, conv, out) -> Held:
    """A convolution."""
    n, tiles = lhs.ndim, [_tiles(size) for size in out]
    order = (0, *range(2, n), 1)
    parts = _inputs(lhs, order, conv, tiles)
    # In the order in which its channels are stored: that moves nothing but the few elements of a kernel.
    channels = [d for d in rhs.first if d < 2]
    kernels = [rhs.get((*range(2, n), *channels))]
    for _ in tiles:
        kernels = _each(kernels, _kernel)
    numbers = (((n - 1,), (channels.index(1),)), ((), ()))
    parts = [lax.dot_general(p, k, numbers, conv.precision, conv.dtype) for p, k in zip(parts, kernels)]
    for _ in tiles:
        parts = _fours(parts, _results)
    whole = _woven(parts, len(tiles))
    whole = whole.reshape(whole.shape[0], *(2 * size for size in tiles), whole.shape[-1])
    return Held(_once(lax.slice(whole, [0] * n, [whole.shape[0], *out, whole.shape[-1]])), order)


def _woven(parts, left: int, axis: int = 2):
    """Put the results of a tile beside each other, the first dimension's number changing slowest."""
    if not left:
        return parts[0]
    half = len(parts) // 2
    return jnp.stack([_woven(parts[:half], left - 1, axis + 1), _woven(parts[half:], left - 1, axis + 1)], axis)


def gradient(lhs: Held, rhs: Held, conv) -> Held:
    """The gradient of the kernel: the same sums, taken the other way round."""
    n, tiles = lhs.ndim, [_tiles(size) for size in rhs.shape[2:]]
    order = (1, *range(2, n), 0)
    others = rhs.get(order)
    parts = _inputs(lhs, order, conv, tiles)
    room = [(0, 2 * count - size, 0) for count, size in zip(tiles, rhs.shape[2:])]
    others = [lax.pad(others, others.dtype.type(0), [(0, 0, 0), *room, (0, 0, 0)])]
    for axis in range(1, n - 1):
        others = _each(others, partial(_spread, axis=axis))
    first, second = [jnp.stack([p.reshape(-1, p.shape[-1]) for p in given]) for given in (others, parts)]
    product = lax.dot_general(first, second, (((1,), (1,)), ((0,), (0,))), conv.precision, conv.dtype)
    parts = list(product)
    for _ in tiles:
        parts = _fours(parts, _kernel_back)
    found = jnp.stack(parts).reshape(*[3] * len(tiles), *product.shape[1:])
    return Held(found, (*range(2, n), 1, 0))


def _spread(array, axis: int) -> list:
    even, odd = _halves(array, axis)
    return [even, even + odd, even - odd, -odd]


def _kernel_back(d) -> list:
    total = (d[1] + d[2]) * 0.5
    return [d[0] + total, (d[1] - d[2]) * 0.5, total + d[3]]
