"""Owns convolutions of few places by kernels of many channels, as one product with the kernel as it is stored.

May import held values and jax. XLA moves such a kernel into another order before it meets a few rows of values, and the
gradient back again, which takes several times as long as the product; here the values are moved.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._orders import Held

# Elements of a kernel from which moving it is what a convolution spends its time with.
_KERNEL = 1 << 15
# Elements of a kernel in space: a result of more is a picture, and no gradient of a kernel.
_ELEMENTS = 49
# Places of the picture for each channel of the result up to which patches are the smaller operand by far.
_PLACES, _PLACES_OF_GRADIENT = 0.4, 0.5


def _few(places: int, channels, share: float) -> bool:
    return places <= share * min(channels)


def _plain(lhs: Held, rhs: Held, conv) -> bool:
    return lhs.ndim > 2 and jnp.dtype(conv.dtype) in (jnp.float32, jnp.float64) and lhs.dtype == rhs.dtype


def stored(rhs: Held) -> tuple[Held, bool]:
    """A kernel before it was reversed in space, and whether it was."""
    if rhs.source is not None and set(rhs.source[1]) == set(range(2, rhs.ndim)):
        return rhs.source[0], True
    return rhs, False


def fits(lhs: Held, rhs: Held, conv, out) -> bool:
    """Whether a convolution is faster this way."""
    if not _plain(lhs, rhs, conv) or rhs.size < _KERNEL:
        return False
    (kernel, _), space = stored(rhs), tuple(range(2, rhs.ndim))
    if kernel.first == (0, 1, *space):
        return _few(lhs.shape[0] * math.prod(out), rhs.shape[:2], _PLACES)
    places = lhs.shape[0] * math.prod(lhs.shape[2:])
    return kernel.first == (1, 0, *space) and _few(places, rhs.shape[:2], _PLACES_OF_GRADIENT)


def fits_gradient(lhs: Held, rhs: Held, conv, out) -> bool:
    """Whether a convolution that is the gradient of a kernel is; its result is the kernel."""
    channels = lhs.shape[0], rhs.shape[0]
    elements = math.prod(out)
    if not _plain(lhs, rhs, conv) or elements > _ELEMENTS or math.prod(channels) * elements < _KERNEL:
        return False
    places = rhs.shape[1] * math.prod(rhs.shape[2:])
    return rhs.shape[1] < min(channels) and _few(places, channels, _PLACES_OF_GRADIENT)


def _padded(array, conv):
    """Channels last, with zeros around and between."""
    space = [(*pad, step - 1) for pad, step in zip(conv.padding, conv.lhs_dilation)]
    return lax.pad(array, array.dtype.type(0), [(0, 0, 0), *space, (0, 0, 0)])


def _shifted(array, at, steps, counts):
    stops = [first + (n - 1) * step + 1 for first, n, step in zip(at, counts, steps)]
    return lax.slice(array, (0, *at, 0), (array.shape[0], *stops, array.shape[-1]), (1, *steps, 1))


def convolve(lhs: Held, rhs: Held, conv, out) -> Held:
    """A convolution."""
    n = lhs.ndim
    order = (0, *range(2, n), 1)
    kernel, turned = stored(rhs)
    places = [tuple(at) for at in np.ndindex(*rhs.shape[2:])]
    places = places[::-1] if turned else places
    array = kernel.orders[kernel.first]
    if kernel.first[0] == 0:
        value = _padded(lhs.get(order), conv)
        parts = [_shifted(value, [i * d for i, d in zip(at, conv.rhs_dilation)], conv.strides, out) for at in places]
        rows = jnp.stack(parts, -1)
        rows = rows.reshape(math.prod(rows.shape[: n - 1]), -1)
        found = _product(rows, array.reshape(len(array), -1), 1, 1, conv)
        return Held(found.reshape(lhs.shape[0], *out, -1), order)
    value = lhs.get(order)
    found = _product(value.reshape(-1, value.shape[-1]), array.reshape(len(array), -1), 1, 0, conv)
    found = found.reshape(*value.shape[:-1], rhs.shape[0], len(places))
    total: Any = None
    for n, at in enumerate(places):
        start = [i * d for i, d in zip(at, conv.rhs_dilation)]
        term = _shifted(_padded(found[..., n], conv), start, conv.strides, out)
        total = term if total is None else total + term
    return Held(total, order)


def gradient(lhs: Held, rhs: Held, conv, out) -> Held:
    """The gradient of a kernel, in the order in which the kernel is stored."""
    n = lhs.ndim
    value, other = _padded(lhs.get((1, *range(2, n), 0)), conv), rhs.get((1, *range(2, n), 0))
    parts = [
        _shifted(value, [i * s for i, s in zip(at, conv.strides)], conv.rhs_dilation, rhs.shape[2:])
        for at in np.ndindex(*out)
    ]
    rows = jnp.stack(parts, -1)
    rows = rows.reshape(math.prod(rows.shape[: n - 1]), -1)
    found = _product(other.reshape(-1, other.shape[-1]), rows, 0, 0, conv)
    return Held(found.reshape(rhs.shape[0], lhs.shape[0], *out), (1, 0, *range(2, n)))


def _product(a, b, along: int, other: int, conv):
    return lax.dot_general(a, b, (((along,), (other,)), ((), ())), conv.precision, conv.dtype)
