"""Owns average pooling, plain, adaptive and by power.

May import the door, nn_pool and jax. Sums run one dimension at a time over strided slices; XLA's windowed reduction
is several times slower on the CPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._execute import write_out
from ._op import Array, op
from .nn_common import widen
from .nn_pool import (
    _max_pool,
    adaptive_bounds,
    adaptive_size,
    check_dims,
    check_output,
    pooled_size,
    taps,
    window_options,
)


def _counts(n, k, s, p, outs, include_pad):
    """How many elements each window's mean is over: the padding counts, what lies beyond it does not."""
    start = np.arange(outs) * s - p
    end = np.minimum(start + k, n + p)
    if include_pad:
        return end - start
    return np.minimum(end, n) - np.maximum(start, 0)


@op(name="avg_pool", method=False)
def _avg_pool(input: Array, kernel, stride, padding, ceil_mode, include_pad, divisor, nd):
    name = f"avg_pool{nd}d"
    kernel, stride, padding, _ = window_options(name, nd, kernel, stride, padding)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    if nd == 1:
        if input.ndim not in (2, 3):
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {input.ndim}-dimensional tensor for argument #1 'self' (while "
                "checking arguments for avg_pool1d)"
            )
    else:
        check_dims(name, input, nd)
    first = input.ndim - nd
    spatial = input.shape[first:]
    outs = [pooled_size(n, k, s, p, 1, ceil_mode) for n, k, s, p in zip(spatial, kernel, stride, padding)]
    check_output(name, spatial, input.shape[first - 1], outs)
    config = [(0, 0)] * first
    for n, k, s, p, o in zip(spatial, kernel, stride, padding, outs):
        config.append((p, max((o - 1) * s + k - p - n, 0)))
    x = widen(input)
    if any(pair != (0, 0) for pair in config):
        x = jnp.pad(x, config)
    for i in reversed(range(nd)):
        x = functools.reduce(jnp.add, taps(x, first + i, kernel[i], stride[i], 1, outs[i]))
    if divisor is not None:
        return _divided(x, divisor, input)
    over = [_counts(n, k, s, p, o, include_pad) for n, k, s, p, o in zip(spatial, kernel, stride, padding, outs)]
    counts = functools.reduce(np.multiply.outer, over)
    if (counts == counts.flat[0]).all():
        return _divided(x, int(counts.flat[0]), input)
    return _divided(x, counts.astype(x.dtype), input)


def _divided(x, by, input):
    if jnp.issubdtype(x.dtype, jnp.integer):
        return lax.div(x, jnp.broadcast_to(jnp.asarray(by, x.dtype), x.shape))
    return (x / by).astype(input.dtype)


@functools.lru_cache(maxsize=256)
def _mean_matrix(n: int, outs: int):
    """The (outs, n) matrix whose product is the adaptive mean."""
    start, end, _ = adaptive_bounds(n, outs)
    position = np.arange(n)
    inside = (position >= start[:, None]) & (position < end[:, None])
    return inside / (end - start)[:, None]


@op(name="adaptive_avg_pool", method=False)
def _adaptive_avg(input: Array, output_size, nd):
    size = adaptive_size(f"adaptive_avg_pool{nd}d", input, output_size, nd, "")
    first = input.ndim - nd
    x = widen(input)
    if all(n == 1 for n in size):
        return x.mean(tuple(range(first, input.ndim)), keepdims=True).astype(input.dtype)
    for i in reversed(range(nd)):
        axis, n, outs = first + i, input.shape[first + i], size[i]
        if outs == n:
            continue
        if outs and n % outs == 0:
            step = n // outs
            x = functools.reduce(jnp.add, taps(x, axis, step, step, 1, outs)) / step
        else:
            matrix = jnp.asarray(_mean_matrix(n, outs), x.dtype)
            x = jnp.moveaxis(jnp.tensordot(x, matrix, ((axis,), (1,))), -1, axis)
    return x.astype(input.dtype)


@op(name="lp_pool", method=False)
def _lp_pool(input: Array, power, kernel, stride, ceil_mode, nd):
    kernel, stride, _, _ = window_options(f"lp_pool{nd}d", nd, kernel, stride, 0)
    first = input.ndim - nd
    spatial = input.shape[first:]
    outs = [pooled_size(n, k, s, 0, 1, ceil_mode) for n, k, s in zip(spatial, kernel, stride)]
    config = [(0, 0)] * first + [(0, max((o - 1) * s + k - n, 0)) for n, k, s, o in zip(spatial, kernel, stride, outs)]
    x = jnp.pad(input**power, config)
    for i in reversed(range(nd)):
        x = functools.reduce(jnp.add, taps(x, first + i, kernel[i], stride[i], 1, outs[i]))
    counts = functools.reduce(
        np.multiply.outer, [_counts(n, k, s, 0, o, True) for n, k, s, o in zip(spatial, kernel, stride, outs)]
    )
    mean = x / counts.astype(x.dtype)
    return (jnp.sign(mean) * jnp.maximum(jnp.abs(mean), 0) * math.prod(kernel)) ** (1.0 / power)


def _line(
    input, kernel_size, stride: Any = None, padding: Any = 0, ceil_mode=False, count_include_pad=True
):  # fmt: skip
    return _avg_pool(input, kernel_size, stride, padding, bool(ceil_mode), bool(count_include_pad), None, 1)


def _plain(nd) -> Callable:
    def several(
        input,
        kernel_size,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override: int | None = None,
        *,
        out=None,
    ):
        result = _avg_pool(
            input, kernel_size, stride, padding, bool(ceil_mode), bool(count_include_pad), divisor_override, nd
        )
        return result if out is None else write_out(f"avg_pool{nd}d", result, out)

    pool = _line if nd == 1 else several
    pool.__name__ = pool.__qualname__ = f"avg_pool{nd}d"
    pool.__doc__ = f"""The mean of each window over {nd} dimension(s).

    Args:
        kernel_size, stride, padding: one int or {nd}; the stride defaults to the kernel's size.
        ceil_mode: keep a last window that is cut off by the border.
        count_include_pad: padding counts as zeros in the mean.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return pool


def _adaptive(nd):
    def pool(input, output_size):
        return _adaptive_avg(input, output_size, nd)

    pool.__name__ = pool.__qualname__ = f"adaptive_avg_pool{nd}d"
    pool.__doc__ = f"""The mean over windows chosen so that the result has ``output_size`` ({nd} dimension(s)).

    Args:
        output_size: an int, or one per dimension; None keeps the input's.
    """
    return pool


def _power(nd):
    def pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        if math.isinf(norm_type):
            sign = 1 if norm_type > 0 else -1
            return sign * _max_pool(sign * input.abs(), kernel_size, stride, 0, 1, bool(ceil_mode), nd, False)
        return _lp_pool(input, norm_type, kernel_size, stride, bool(ceil_mode), nd)

    pool.__name__ = pool.__qualname__ = f"lp_pool{nd}d"
    pool.__doc__ = f"The ``norm_type``-norm of each window over {nd} dimension(s)."
    return pool


avg_pool1d, avg_pool2d, avg_pool3d = _plain(1), _plain(2), _plain(3)
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = _adaptive(1), _adaptive(2), _adaptive(3)
lp_pool1d, lp_pool2d, lp_pool3d = _power(1), _power(2), _power(3)

__all__ = ["adaptive_avg_pool1d", "avg_pool1d"]
