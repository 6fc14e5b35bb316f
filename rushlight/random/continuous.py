"""Owns the continuous distributions: uniform, normal, log-normal, exponential, Cauchy, each as torch's CPU draws it.

May import numpy and the other files of ``rushlight.random``. Elements are filled in memory order: for a transposed
tensor draw the shape its storage has and permute the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import box_muller, rounds
from .box_muller import BLOCK, fused, libm, uniform53
from .checks import (
    COMPLEX,
    FLOAT32,
    FLOAT64,
    FLOATS,
    LARGEST,
    cpp_name,
    expand_shape,
    expect_above,
    expect_std,
    number,
    require_kernel,
    rounded,
    rounded_scalar,
    scalar_name,
    size_of,
    to_dtype,
    to_shape,
)
from .mt19937 import Engine, in_order

_CHUNK = 1 << 16  # elements per round, so that the in-place arithmetic stays in the cache
_MASK24 = np.uint64(0x00FFFFFF00FFFFFF)  # the low 24 bits of both words of a pair


def uniform(engine: Engine, shape, low: float = 0.0, high: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Uniform samples in ``[low, high)``, as ``torch.rand`` and ``Tensor.uniform_`` give them.

    Args:
        engine: advanced by one word an element, two for float64.
        shape: the shape of the result.
        low: lower bound.
        high: upper bound.
        dtype: a floating or complex dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: a bound does not fit ``dtype``, or ``low > high``.
        NotImplementedError: ``dtype`` is no floating or complex dtype.

    Example:
        >>> print(uniform(Engine(0), 2))
        [0.4962566 0.7682218]
    """
    dtype, shape = to_dtype(dtype), to_shape(shape)
    if dtype in COMPLEX:
        return uniform(engine, (*shape, 2), low, high, COMPLEX[dtype]).view(dtype).reshape(shape)
    low, high = check_bounds(low, high, dtype)
    out = np.empty(shape, dtype)
    # Rounding can reach the upper bound, which lies outside of the range, but not from 0 in full precision.
    clamp = low != 0 or dtype not in (FLOAT32, FLOAT64)
    top, bottom = rounded_scalar(high, dtype), rounded_scalar(low, dtype)

    def transform(words: np.ndarray, part: np.ndarray) -> None:
        if dtype == FLOAT64:
            np.copyto(part, fused(uniform53(words), high - low, low))
        elif dtype == FLOAT32:
            _scale24(words, part, low, high)
        else:
            wide = np.empty(part.size, np.float32)
            _scale24(words, wide, low, high)
            part[:] = wide.astype(dtype)
        if clamp:
            part[part == top] = bottom

    draw = engine.raw64 if dtype == FLOAT64 else engine.raw_pairs
    rounds.fill(out.reshape(-1), draw, transform, _CHUNK, 2 * _CHUNK)
    return out


def check_bounds(low: float, high: float, dtype: Any) -> tuple[float, float]:
    """The bounds of a uniform distribution, without negative zeros.

    Raises:
        RuntimeError: a bound does not fit ``dtype``, or ``low > high``.
        NotImplementedError: ``dtype`` is no floating or complex dtype.
    """
    dtype = to_dtype(dtype)
    dtype = COMPLEX.get(dtype, dtype)
    require_kernel("check_uniform_bounds", dtype, FLOATS)
    low, high = float(low) + 0.0, float(high) + 0.0  # no negative zeros
    limit = LARGEST[dtype]
    for name, bound in (("from", low), ("to", high)):
        if not -limit <= bound <= limit:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name(dtype)}")
    if not low <= high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={number(low)} > to={number(high)}"
        )
    if not high - low <= limit:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{scalar_name(dtype)}>::max(), but found "
            f"to={number(high)} and from={number(low)} which result in to-from to exceed the limit"
        )
    return low, high


def _scale24(pairs: np.ndarray, out: np.ndarray, low: float, high: float) -> None:
    """``fma(k / 2**24, high - low, low)`` in float32, ``k`` the low 24 bits of each word in ``pairs``."""
    pairs &= _MASK24
    k = in_order(pairs).view(np.int32)[: out.size]
    first, width = np.float32(low), np.float32(high) - np.float32(low)
    if first == 0:
        np.copyto(out, k, casting="unsafe")
        if width >= 2.0**-100:  # one rounding; a tiny width would meet denormals too early
            out *= width * np.float32(2.0**-24)
        else:
            out *= np.float32(2.0**-24)
            out *= width
        return
    wide = k.astype(np.float64)
    wide *= float(width) * 2.0**-24
    wide += float(first)
    np.copyto(out, wide, casting="same_kind")


def normal(
    engine: Engine, shape, mean: float = 0.0, std: float = 1.0, dtype: Any = np.float32, contiguous: bool = True
):
    """Normal samples, as ``torch.randn`` and ``Tensor.normal_`` give them.

    Args:
        engine: advanced; fewer than 16 elements also use and leave the cached second sample.
        shape: the shape of the result.
        mean: added to every sample.
        std: multiplies every sample.
        dtype: a floating or complex dtype.
        contiguous: False draws as torch does for a tensor that is not contiguous, element by element.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``std`` is negative.
        NotImplementedError: ``dtype`` is no floating or complex dtype.

    Example:
        >>> print(normal(Engine(0), 2))
        [ 1.5409961 -0.2934289]
    """
    expect_std(std)
    dtype, shape = to_dtype(dtype), to_shape(shape)
    size = size_of(shape)
    if dtype in COMPLEX:
        real = normal(engine, (*shape, 2), mean, std / math.sqrt(2.0), COMPLEX[dtype], contiguous)
        return real.view(dtype).reshape(shape)
    if size == 0:
        return np.empty(shape, dtype)
    require_kernel("normal_kernel_cpu", dtype, FLOATS)
    mean, std = float(mean), float(std)
    if size < BLOCK or not contiguous:
        return rounded(fused(_serial_normal(engine, size), std, mean), dtype).reshape(shape)
    fill = box_muller.fill_float64 if dtype == FLOAT64 else box_muller.fill_float32
    full = size - size % BLOCK
    out = np.empty(size, dtype if dtype in (FLOAT32, FLOAT64) else np.float32)
    fill(engine, out[:full], mean, std)
    if size != full:
        if dtype == FLOAT32:
            engine.raw32(size - full)  # torch draws for the short tail before it draws the last 16 anew
        elif dtype == FLOAT64:
            engine.raw64(size - full)
        fill(engine, out[size - BLOCK :], mean, std)
    return rounded(out, dtype).reshape(shape)


def _serial_normal(engine: Engine, size: int) -> np.ndarray:
    """Standard normals in float64, two to a pair of uniforms; the odd one out waits in the engine."""
    out = np.empty(size)
    start = 0
    if size and engine.next_double_normal is not None:
        out[0], engine.next_double_normal, start = engine.next_double_normal, None, 1
    pairs = (size - start + 1) // 2
    if pairs:
        u = uniform53(engine.raw64(2 * pairs)).reshape(pairs, 2)
        radius = np.sqrt(-2.0 * libm(math.log1p, -u[:, 1]))
        angle = (2.0 * math.pi) * u[:, 0]
        both = np.empty((pairs, 2))
        both[:, 0] = radius * libm(math.cos, angle)
        both[:, 1] = radius * libm(math.sin, angle)
        out[start:] = both.reshape(-1)[: size - start]
        if (size - start) % 2:
            engine.next_double_normal = float(both[-1, 1])
    return out


def normal_arrays(engine: Engine, mean, std) -> np.ndarray:
    """Normal samples with a mean or a standard deviation per element, as ``torch.normal`` of tensors gives them.

    Args:
        engine: advanced as ``normal`` advances it.
        mean: an array, or a number if ``std`` is an array.
        std: an array, or a number if ``mean`` is an array.

    Shape:
        The broadcast of the two; the dtype is that of ``mean``, or of ``std`` where ``mean`` is a number.

    Raises:
        RuntimeError: a standard deviation is negative or complex, or the shapes do not fit.

    Example:
        >>> print(normal_arrays(Engine(0), np.zeros(2, np.float32), 1.0))
        [ 1.5409961 -0.2934289]
    """
    mean_is_array, std_is_array = isinstance(mean, np.ndarray), isinstance(std, np.ndarray)
    dtype = mean.dtype if mean_is_array else std.dtype
    if not std_is_array:
        return _add(normal(engine, mean.shape, 0.0, std, dtype), mean)
    if std.dtype in COMPLEX:
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if std.size and not np.min(std) >= 0:
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shape = expand_shape(mean.shape, std.shape) if mean_is_array else std.shape
    samples = normal(engine, shape, 0.0, 1.0, dtype)
    if not mean_is_array:
        mean = np.asarray(rounded_scalar(mean, dtype))
    scaled = _wide(samples) * _wide(std) if samples.dtype != std.dtype else samples * std
    return _add(rounded(scaled, dtype) if scaled.dtype != dtype else scaled, mean)


def _wide(array: np.ndarray) -> np.ndarray:
    """16-bit floats as float32, so that two different ones have a common dtype."""
    return array if array.dtype.itemsize > 2 else array.astype(np.float32)


def _add(samples: np.ndarray, mean: np.ndarray) -> np.ndarray:
    if samples.dtype == mean.dtype:
        return samples + mean
    return rounded(_wide(samples) + _wide(mean), samples.dtype)


def log_normal(engine: Engine, shape, mean: float = 1.0, std: float = 2.0, dtype: Any = np.float32) -> np.ndarray:
    """Samples whose logarithm is normal, as ``Tensor.log_normal_`` gives them.

    Args:
        engine: advanced; it also uses and leaves the cached second normal sample.
        shape: the shape of the result.
        mean: mean of the logarithm.
        std: standard deviation of the logarithm.
        dtype: a floating dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``std`` is not positive.
        NotImplementedError: ``dtype`` is no floating dtype.

    Example:
        >>> log_normal(Engine(0), 3).shape
        (3,)
    """
    expect_above("log_normal_", "std", std, "std")
    dtype, shape = to_dtype(dtype), to_shape(shape)
    if not size_of(shape):
        return np.empty(shape, dtype)
    require_kernel("log_normal_cpu", dtype, FLOATS)
    values = fused(_serial_normal(engine, size_of(shape)), float(std), float(mean))
    return rounded(libm(_exp, values), dtype).reshape(shape)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def exponential(engine: Engine, shape, lambd: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Exponential samples with rate ``lambd``, as ``Tensor.exponential_`` gives them.

    Args:
        engine: advanced by two words an element.
        shape: the shape of the result.
        lambd: the rate.
        dtype: a floating dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``lambd`` is not positive, or ``dtype`` is no floating dtype.

    Example:
        >>> exponential(Engine(0), 3).shape
        (3,)
    """
    expect_above("exponential_", "lambda", lambd, "lambda")
    dtype = to_dtype(dtype)
    if dtype not in FLOATS:
        raise RuntimeError(_continuous("Exponential", scalar_name(dtype)))
    scale = -1.0 / float(lambd)
    log1p: Callable = (lambda u: libm(math.log1p, u)) if dtype == FLOAT64 else np.log1p
    return _map_uniform(engine, shape, dtype, lambda u: scale * log1p(-u))


def cauchy(engine: Engine, shape, median: float = 0.0, sigma: float = 1.0, dtype: Any = np.float32) -> np.ndarray:
    """Cauchy samples, as ``Tensor.cauchy_`` gives them.

    Args:
        engine: advanced by two words an element.
        shape: the shape of the result.
        median: location.
        sigma: scale.
        dtype: a floating dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``sigma`` is not positive, or ``dtype`` is no floating dtype.

    Example:
        >>> cauchy(Engine(0), 3).shape
        (3,)
    """
    expect_above("cauchy_", "sigma", sigma, "sigma")
    dtype = to_dtype(dtype)
    if dtype not in FLOATS:
        raise RuntimeError(_continuous("Cauchy", cpp_name(dtype)))
    tan: Callable = (lambda x: libm(math.tan, x)) if dtype == FLOAT64 else np.tan
    return _map_uniform(engine, shape, dtype, lambda u: fused(tan(math.pi * (u - 0.5)), float(sigma), float(median)))


def _continuous(name: str, shown: str) -> str:
    return (
        f"{name} distribution is a continuous probability distribution. dtype must be a floating point but you "
        f"specified {shown}"
    )


def _map_uniform(engine: Engine, shape, dtype: np.dtype, function: Callable) -> np.ndarray:
    """``function`` of float64 uniforms, in rounds that stay in the cache."""
    out = np.empty(to_shape(shape), dtype)

    def transform(words: np.ndarray, part: np.ndarray) -> None:
        part[:] = rounded(function(uniform53(words)), dtype)

    rounds.fill(out.reshape(-1), engine.raw64, transform, _CHUNK // 4, _CHUNK)
    return out
