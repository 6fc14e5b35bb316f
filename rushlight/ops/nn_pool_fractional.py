"""Owns fractional max pooling: the maxima of windows at random places.

May import the door, nn_common, nn_pool and jax.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import lax

from ._op import Array, op
from .creation import empty
from .nn_common import need_float
from .nn_pool import _best

_AXES = {2: ("height", "width"), 3: ("time", "height", "width")}
_WORDS = {2: "tuple of Ints", 3: "tuple of three Ints"}


def _starts(sample, n, kernel, outs):
    """Where the windows of each plane start: steps of irregular size, the last window at the end."""
    if outs <= 1:
        return jnp.full((*sample.shape, outs), n - kernel)
    alpha = jnp.asarray((n - kernel) / (outs - 1), sample.dtype)
    at = (jnp.arange(outs - 1, dtype=sample.dtype) + sample[..., None]) * alpha
    first = (sample * alpha).astype(jnp.int64)[..., None]
    return jnp.concatenate([at.astype(jnp.int64) - first, jnp.full((*sample.shape, 1), n - kernel)], -1)


@op(name="fractional_max_pool", method=False)
def _fractional(input: Array, samples: Array, kernel, size, nd):
    name = f"fractional_max_pool{nd}d"
    need_float(input, f"{name}_out_frame")
    batched = input.ndim == nd + 2
    x = input if batched else input[None]
    batch, channels, *spatial = x.shape
    label = f"{name}()" if nd == 2 else f"{name}_out()"
    for axis, n in enumerate(x.shape[1:], 1 if batched else 0):
        if n == 0:
            raise RuntimeError(
                f"{label}: Expected input to have non-zero size for non-batch dimensions, but got"
                f"{list(input.shape)} with dimension {axis} being empty."
            )
    _check_samples(samples, x, nd)
    for what, n, k, outs in zip(_AXES[nd], spatial, kernel, size):
        # torch wants one element more for volumes.
        if outs + k - 1 > n - (nd == 3):
            raise RuntimeError(f"{label}: pool {what} {k} too large relative to input {what} {n}")
    # torch keeps the samples of an image as (x, y), and those of a volume in the order of its dimensions.
    order = (1, 0) if nd == 2 else (0, 1, 2)
    starts = [_starts(samples[:batch, :, j], n, k, o) for j, n, k, o in zip(order, spatial, kernel, size)]
    position = None
    for i in range(nd):
        shape = [batch, channels, *([1] * nd)]
        shape[2 + i] = size[i]
        along = starts[i].reshape(shape)
        position = along if position is None else position * spatial[i] + along
    assert position is not None
    position = position.reshape(batch, channels, math.prod(size))
    flat = x.reshape(batch, channels, math.prod(spatial))
    still = lax.stop_gradient(flat)
    parts, offsets = [], []
    for k in range(math.prod(kernel)):
        offset, rest, step = 0, k, 1
        for n, width in zip(reversed(spatial), reversed(kernel)):
            offset += (rest % width) * step
            rest, step = rest // width, step * n
        offsets.append(offset)
        parts.append(jnp.take_along_axis(still, position + offset, 2))
    _, where = _best(parts)
    index = position + jnp.asarray(offsets)[where]
    out = (*x.shape[:2], *size) if batched else (channels, *size)
    return jnp.take_along_axis(flat, index, 2).reshape(out), index.reshape(out)


def _check_samples(samples, x, nd):
    if samples.dtype != x.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < x.shape[0]:
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != x.shape[1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != nd:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {nd}; got {samples.shape[2]}.")


def _several(value: Any, nd, what):
    value = (value,) * nd if isinstance(value, int) else tuple(value)
    value = value * nd if len(value) == 1 else value
    if len(value) != nd:
        raise RuntimeError(f"fractional_max_pool{nd}d: {what} must either be a single Int or {_WORDS[nd]}")
    return tuple(map(int, value))


def _pools(nd):
    name = f"fractional_max_pool{nd}d"

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        shape = input._array().shape
        if len(shape) not in (nd + 1, nd + 2):
            raise IndexError(
                f"{name}: Expected an input of {nd + 1} or {nd + 2} dimensions, but got {len(shape)}: "
                "(N, C, ...) or (C, ...)."
            )
        if output_ratio is not None and output_size is None:
            ratio = (output_ratio,) * nd if isinstance(output_ratio, float) else tuple(output_ratio)
            if len(ratio) != nd:
                raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
            output_size = [int(n * r) for n, r in zip(shape[-nd:], ratio)]
        kernel, size = _several(kernel_size, nd, "kernel_size"), _several(output_size, nd, "output_size")
        if _random_samples is None:
            batch = 1 if len(shape) == nd + 1 else shape[0]
            _random_samples = empty((batch, shape[-nd - 1], nd), dtype=input.dtype, device=input.device).uniform_()
        return _fractional(input, _random_samples, kernel, size, nd)

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        out = with_indices(input, kernel_size, output_size, output_ratio, _random_samples=_random_samples)
        return out if return_indices else out[0]

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = f"""The maximum of windows at random places, over {nd} dimensions (Graham 2014).

    Args:
        kernel_size: the window's size, one int or {nd}.
        output_size: how many windows, one int or {nd}; or
        output_ratio: how many, as fractions of the input's size.
        return_indices: also give each maximum's position in the flattened input plane.

    Raises:
        ValueError: neither a size nor a ratio.
        RuntimeError: the sizes do not fit.
    """
    with_indices.__name__ = with_indices.__qualname__ = f"{name}_with_indices"
    with_indices.__doc__ = f"``{name}`` that gives (values, indices)."
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _pools(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _pools(3)

__all__: list[str] = []
