"""Owns the rearrangements of images: unfold and fold, pixel and channel shuffles.

May import the door, nn_pool and jax.
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax

from ._op import Array, op
from .nn_common import sizes


def _pair(value, name):
    return sizes(value, 2, f"It is expected {name} equals to 2, but got size {value}")


def _blocks(image, kernel, dilation, padding, stride):
    """(N, C, H, W) to (N, C * kernel, positions)."""
    x = jnp.pad(image, [(0, 0), (0, 0), *((p, p) for p in padding)])
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, d, s in zip(x.shape[2:], kernel, dilation, stride)]
    parts = []
    for offset in itertools.product(*map(range, kernel)):
        start = [o * d for o, d in zip(offset, dilation)]
        end = [b + (c - 1) * s + 1 for b, c, s in zip(start, counts, stride)]
        parts.append(lax.slice(x, (0, 0, *start), (*x.shape[:2], *end), (1, 1, *stride)))
    stacked = jnp.stack(parts, 2)
    return stacked.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(counts))


@op(name="im2col", method=False, linear=True)
def _unfold(input: Array, kernel, dilation, padding, stride):
    kernel, dilation = _pair(kernel, "kernel_size"), _pair(dilation, "dilation")
    padding, stride = _pair(padding, "padding"), _pair(stride, "stride")
    if input.ndim not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    x = input if input.ndim == 4 else input[None]
    counts = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(x.shape[2:], kernel, dilation, padding, stride)
    ]
    if any(c < 1 for c in counts):
        raise RuntimeError(
            f"Given input with spatial size ({x.shape[2]}, {x.shape[3]}), kernel_size=({kernel[0]}, {kernel[1]}), "
            f"dilation=({dilation[0]}, {dilation[1]}), padding=({padding[0]}, {padding[1]}), calculated shape of the "
            f"array of sliding blocks as ({counts[0]}, {counts[1]}), but its components must be at least one."
        )
    out = _blocks(x, kernel, dilation, padding, stride)
    return out if input.ndim == 4 else out[0]


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """All sliding blocks of an image as columns.

    Shape:
        ``(N, C, H, W)`` to ``(N, C * kernel elements, positions)``.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return _unfold(input, kernel_size, dilation, padding, stride)


@op(name="col2im", method=False, linear=True)
def _fold(input: Array, size, kernel, dilation, padding, stride):
    size, kernel, dilation = _pair(size, "output_size"), _pair(kernel, "kernel_size"), _pair(dilation, "dilation")
    padding, stride = _pair(padding, "padding"), _pair(stride, "stride")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    x = input if input.ndim == 3 else input[None]
    if x.shape[1] % math.prod(kernel):
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={x.shape[1]} and kernel_size=({kernel[0]}, {kernel[1]})."
        )
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride)]
    if x.shape[2] != math.prod(counts):
        raise RuntimeError(
            f"Given output_size=({size[0]}, {size[1]}), kernel_size=({kernel[0]}, {kernel[1]}), "
            f"dilation=({dilation[0]}, {dilation[1]}), padding=({padding[0]}, {padding[1]}), "
            f"stride=({stride[0]}, {stride[1]}), expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {counts[0]} * {counts[1]} = "
            f"{math.prod(counts)}, but got input.size(2)={x.shape[2]}."
        )
    image = jax.ShapeDtypeStruct((x.shape[0], x.shape[1] // math.prod(kernel), *size), x.dtype)
    gather = jax.linear_transpose(lambda a: _blocks(a, kernel, dilation, padding, stride), image)
    out = gather(x)[0]
    return out if input.ndim == 3 else out[0]


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of sliding blocks put back in place: the transpose of ``unfold``.

    Shape:
        ``(N, C * kernel elements, positions)`` to ``(N, C, *output_size)``.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return _fold(input, output_size, kernel_size, dilation, padding, stride)


def _check_image(name, input, factor, what):
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {factor}")


@op(method=False, linear=True)
def pixel_shuffle(input: Array, upscale_factor):
    """Channels to space: ``(*, C * r * r, H, W)`` to ``(*, C, H * r, W * r)`` (Shi et al. 2016)."""
    r = upscale_factor
    _check_image("pixel_shuffle", input, r, "upscale_factor")
    *lead, channels, h, w = input.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    x = input.reshape(math.prod(lead), channels // (r * r), r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(*lead, channels // (r * r), h * r, w * r)


@op(method=False, linear=True)
def pixel_unshuffle(input: Array, downscale_factor):
    """Space to channels: ``(*, C, H * r, W * r)`` to ``(*, C * r * r, H, W)``."""
    r = downscale_factor
    _check_image("pixel_unshuffle", input, r, "downscale_factor")
    *lead, channels, h, w = input.shape
    for label, n, axis in (("height", h, -2), ("width", w, -1)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {label} to be divisible by downscale_factor, but input.size({axis})={n} is "
                f"not divisible by {r}"
            )
    x = input.reshape(math.prod(lead), channels, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(*lead, channels * r * r, h // r, w // r)


@op(method=False, linear=True)
def channel_shuffle(input: Array, groups):
    """Interleave groups of channels (Zhang et al. 2018)."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if input.shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {input.shape[1]} channels and {groups} groups."
        )
    n, c, *rest = input.shape
    return input.reshape(n, groups, c // groups, *rest).swapaxes(1, 2).reshape(input.shape)


native_channel_shuffle = channel_shuffle
__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]
