"""Owns the discrete distributions: integers, permutations, masks, waiting times, categories as torch's CPU draws them.

May import numpy, scipy (for long permutations) and the other files of ``rushlight.random``.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from . import rounds
from .box_muller import uniform53
from .checks import (
    BFLOAT16,
    BOOL,
    DIGITS,
    FLOAT32,
    FLOAT64,
    FLOATS,
    INTEGERS,
    LARGEST,
    NUMERIC,
    REDUCED,
    WIDE_UNSIGNED,
    cpp_name,
    number,
    require_kernel,
    rounded,
    rounded_scalar,
    scalar_name,
    to_dtype,
    to_shape,
)
from .continuous import exponential
from .mt19937 import Engine, in_order

_CHUNK = 1 << 16
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_WIDE_RANGE = 1 << 28  # from this range on torch spends 64 bits an element, to keep the remainder even
_LONG_PERMUTATION = (2**32 - 1) // 20  # from this length on torch's randperm changes its algorithm
_LAPACK_FROM = 1024


def randint(engine: Engine, low: int, high: int, shape, dtype: Any = np.int64) -> np.ndarray:
    """Integers in ``[low, high)``, as ``torch.randint`` gives them.

    Args:
        engine: advanced by one word an element, two from a range of ``2**28`` on.
        low: lower bound.
        high: upper bound, not included.
        shape: the shape of the result.
        dtype: an integer, bool or floating dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``low >= high``, or a bound does not fit ``dtype``.
        ValueError: a bound does not fit 64 bits.

    Example:
        >>> randint(Engine(0), 0, 10, 4)
        array([4, 9, 3, 0])
    """
    return random(engine, shape, dtype, low, high)


def random(engine: Engine, shape, dtype: Any = np.int64, low: int | None = None, high: int | None = None) -> np.ndarray:
    """Integers, as ``Tensor.random_`` gives them.

    Args:
        engine: advanced by one word an element; two for int64, float64 and wide ranges.
        shape: the shape of the result.
        dtype: an integer, bool or floating dtype.
        low: lower bound. With neither bound, the values go from 0 to the largest of ``dtype`` (for floats: to the
            largest up to which all integers are exact).
        high: upper bound, not included; without it, the largest of ``dtype``. ``high`` alone starts from 0.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``low >= high``, or a bound does not fit ``dtype``.
        ValueError: a bound does not fit 64 bits.
        NotImplementedError: torch has no kernel for ``dtype``.

    Example:
        >>> random(Engine(0), 2, np.uint8)
        array([172,  47], dtype=uint8)
    """
    dtype, shape = to_dtype(dtype), to_shape(shape)
    size = math.prod(shape)
    if low is None and high is None:
        return _unbounded(engine, size, dtype).reshape(shape)
    low = 0 if low is None else int(low)
    for bound in (low, high):
        if bound is not None and not _LOWEST <= bound <= _HIGHEST:
            raise ValueError("Overflow when unpacking long long")
    if high is None and low == _LOWEST:
        return _all_bits(engine, size, dtype).reshape(shape)
    if high is None:
        low, last = _open_range(low, dtype)
    else:
        low, last = _closed_range(low, int(high), dtype)
    _check_bounds(low, last, dtype)
    if not size:
        return np.empty(shape, dtype)
    width = last - low + 1
    if width >= _WIDE_RANGE:
        values = _remainder(engine.raw64(size), width)
    else:
        values = _remainder(engine.raw32(size), width).astype(np.uint64)
    values += np.uint64(low % 2**64)
    return _from_int64(values.view(np.int64), dtype).reshape(shape)


def _remainder(words: np.ndarray, width: int) -> np.ndarray:
    divisor = words.dtype.type(width)
    if width & (width - 1) == 0:
        return words & (divisor - words.dtype.type(1))
    quotient = words // divisor  # numpy divides by a constant with vector instructions, but takes remainders without
    quotient *= divisor
    np.subtract(words, quotient, out=words)
    return words


def _from_int64(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return rounded(values, dtype) if dtype in REDUCED else values.astype(dtype, copy=False)


def _unbounded(engine: Engine, size: int, dtype: np.dtype) -> np.ndarray:
    if not size:
        return np.empty(0, dtype)
    require_kernel("random_kernel_cpu", dtype, (*NUMERIC, BOOL))
    if dtype in FLOATS:
        draw = engine.raw64 if dtype == FLOAT64 else engine.raw32
        return rounded(_remainder(draw(size), 2 ** DIGITS[dtype] + 1), dtype)
    if dtype == np.int64:
        return _remainder(engine.raw64(size), 2**63).view(np.int64)
    width = 2 if dtype == BOOL else int(np.iinfo(dtype).max) + 1
    return _remainder(engine.raw32(size), width).astype(dtype)


def _all_bits(engine: Engine, size: int, dtype: np.dtype) -> np.ndarray:
    kernel = "random_full_64_bits_range_kernel_cpu"
    if not size:
        return np.empty(0, dtype)
    require_kernel(kernel, dtype, (*INTEGERS, BFLOAT16, FLOAT32, FLOAT64))
    if dtype not in (np.dtype(np.int64), FLOAT64, FLOAT32, BFLOAT16):
        raise RuntimeError(f"{kernel} handles only int64, double, float and bfloat16")
    return _from_int64(engine.raw64(size).view(np.int64), dtype)


def _to_int64(value: int, dtype: np.dtype) -> int:
    """``value`` rounded to ``dtype`` and back; what does not fit gives the lowest int64, as on x86."""
    result = float(rounded_scalar(float(np.float32(value)) if dtype in (*REDUCED, FLOAT32) else float(value), dtype))
    return int(result) if -(2.0**63) <= result < 2.0**63 else _LOWEST


def _closed_range(low: int, high: int, dtype: np.dtype) -> tuple[int, int]:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype in FLOATS:
        low = _raise_to_exact(low, dtype)
        below = _to_int64(high - 1, dtype)
        if below >= high:
            high = below - 2 ** _shift(abs(high - 1), dtype)
        if low >= high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                f"from={low} >= to={high}"
            )
    elif scalar_name(dtype).startswith("Float8"):
        require_kernel("random_update_from_to", dtype, FLOATS)
    return low, high - 1


def _raise_to_exact(low: int, dtype: np.dtype) -> int:
    """The next value that does not fall below ``low`` when it is rounded to ``dtype``."""
    above = _to_int64(low + 1, dtype)
    return above + 2 ** _shift(abs(low + 1), dtype) if above < low else low


def _shift(value: int, dtype: np.dtype) -> int:
    return value.bit_length() - 1 - DIGITS[dtype] + 1


def _open_range(low: int, dtype: np.dtype) -> tuple[int, int]:
    if dtype in FLOATS:
        last, low = 2 ** DIGITS[dtype], _raise_to_exact(low, dtype)
        if low >= last:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but got "
                f"from={low} > to_inc={last}"
            )
        return low, last
    if dtype == BOOL:
        return low, 1
    if dtype not in (*INTEGERS, *WIDE_UNSIGNED):
        raise RuntimeError("random_from_to_impl handles only integral, floating-point and boolean types")
    return low, -1 if dtype == np.uint64 else int(np.iinfo(dtype).max)  # -1: torch reads 2**64 - 1 as signed


def _check_bounds(low: int, last: int, dtype: np.dtype) -> None:
    if dtype in FLOATS:
        least, greatest = -LARGEST[dtype], LARGEST[dtype]
    elif dtype == BOOL:
        least, greatest = 0, 1
    elif dtype in (*INTEGERS, *WIDE_UNSIGNED):
        least, greatest = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), _HIGHEST)
    else:
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    for name, bound in (("from", low), ("to - 1", last)):
        if not least <= bound <= greatest:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name(dtype)}")
    digits = DIGITS.get(dtype, 64)
    for name, bound in (("from", low), ("to - 1", last)):
        if abs(bound) > 2**digits:
            warnings.warn(
                f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {cpp_name(dtype)} "
                "can support discrete uniform distribution only within this range. This warning will become an error "
                "in version 1.7 release, please fix the code in advance",
                UserWarning,
                stacklevel=4,
            )


_PERMUTED = {"Half": "2049", "Float": "2^24+1", "Double": "2^53+1"}
_C_TYPES = {"Byte": "uint8_t", "Char": "int8_t", "Short": "int16_t", "Int": "int", "Long": "int64_t"}


def randperm(engine: Engine, n: int, dtype: Any = np.int64) -> np.ndarray:
    """A permutation of ``0 .. n - 1``, as ``torch.randperm`` gives it.

    Args:
        engine: advanced by ``n - 1`` words.
        n: how many.
        dtype: an integer or floating dtype that holds ``n - 1``.

    Shape:
        ``(n,)``.

    Raises:
        RuntimeError: ``n`` is negative, or ``dtype`` cannot count so far.
        NotImplementedError: torch has no kernel for ``dtype``.

    Example:
        >>> randperm(Engine(0), 4)
        array([0, 1, 3, 2])
    """
    dtype = to_dtype(dtype)
    n = int(n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    name = scalar_name(dtype)
    if name in _PERMUTED and n > 2 ** DIGITS[dtype] + 1:
        raise RuntimeError(f"n cannot be greater than {_PERMUTED[name]} for {name} type.")
    if dtype in INTEGERS and n - 1 > np.iinfo(dtype).max:
        raise RuntimeError(f"value cannot be converted to type {_C_TYPES[name]} without overflow")
    require_kernel("randperm", dtype, NUMERIC)
    if n >= _LONG_PERMUTATION:
        partners = engine.raw64(n)
        partners %= np.arange(1, n + 1, dtype=np.uint64)
    else:
        partners = engine.raw32(max(n - 1, 0)).astype(np.int64)
        partners %= np.arange(n, 1, -1)
        partners += np.arange(n - 1)
    return rounded(_swap_in_turn(n, partners.view(np.int64)), dtype)


def _swap_in_turn(n: int, partners: np.ndarray) -> np.ndarray:
    """Swap element ``i`` of ``0 .. n - 1`` with element ``partners[i]``, for each ``i`` in turn."""
    if n >= _LAPACK_FROM:
        # LAPACK's row interchange is this very loop; float64 counts exactly far beyond any array.
        from scipy.linalg.lapack import dlaswp  # pyright: ignore[reportAttributeAccessIssue]

        column = np.arange(n, dtype=np.float64).reshape(n, 1)
        return dlaswp(column, partners.astype(np.int32), overwrite_a=True)[:, 0].astype(np.int64)
    values = list(range(n))
    for i, j in enumerate(partners.tolist()):
        values[i], values[j] = values[j], values[i]
    return np.array(values, np.int64)


_BERNOULLI = (*NUMERIC, BOOL)


def bernoulli(engine: Engine, p, shape=None, dtype: Any = None) -> np.ndarray:
    """Zeros and ones, a one with probability ``p``, as ``torch.bernoulli`` and ``Tensor.bernoulli_`` give them.

    A dropout mask with drop rate ``q`` is ``bernoulli(engine, 1.0 - q, shape, dtype)``.

    Args:
        engine: advanced by two words an element for a number or float64 ``p``, one for another array ``p``.
        p: a number, or a floating array that broadcasts to ``shape``.
        shape: the shape of the result; left out, that of ``p``.
        dtype: the dtype of the result; left out, that of ``p`` (float32 for a number).

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``p`` is not in ``[0, 1]``, or does not expand to ``shape``.
        NotImplementedError: torch has no kernel for the dtypes.

    Example:
        >>> print(bernoulli(Engine(0), 0.5, 4))
        [0. 0. 1. 0.]
    """
    if isinstance(p, np.ndarray):
        shape = p.shape if shape is None else to_shape(shape)
        return _bernoulli_array(engine, p, shape, p.dtype if dtype is None else to_dtype(dtype))
    p, shape = float(p), to_shape(() if shape is None else shape)
    dtype = to_dtype(np.float32 if dtype is None else dtype)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={number(p)}")
    out = np.empty(shape, dtype)
    if out.size:
        require_kernel("bernoulli_scalar_cpu_", dtype, _BERNOULLI)
    threshold, mask = np.uint64(math.ceil(p * 2.0**53)), np.uint64((1 << 53) - 1)

    def transform(words: np.ndarray, part: np.ndarray) -> None:
        words &= mask
        np.copyto(part, words < threshold)

    rounds.fill(out.reshape(-1), engine.raw64, transform, _CHUNK, 2 * _CHUNK)
    return out


def _bernoulli_array(engine: Engine, p: np.ndarray, shape: tuple, dtype: np.dtype) -> np.ndarray:
    out = np.empty(shape, dtype)
    if not out.size:
        return out
    require_kernel("bernoulli_tensor_cpu_self_", dtype, _BERNOULLI)
    try:
        chances = np.broadcast_to(p, shape).reshape(-1)
    except ValueError:
        raise RuntimeError(_expand_error(p.shape, shape)) from None
    require_kernel("bernoulli_tensor_cpu_p_", p.dtype, FLOATS)
    if p.dtype != FLOAT64:
        chances = chances.astype(np.float32, copy=False)
    good = (chances >= 0) & (chances <= 1)
    count = out.size if good.all() else int(np.argmin(good))  # torch draws until it meets the bad one
    if p.dtype == FLOAT64:
        ones = uniform53(engine.raw64(count)) < chances[:count]
    else:
        k = in_order(engine.raw_pairs(count)).view(np.uint32)[:count] & np.uint32(0xFFFFFF)
        ones = k.astype(np.float32) * np.float32(2.0**-24) < chances[:count]
    if count != out.size:
        raise RuntimeError(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If "
            "so, please report an enhancement request to PyTorch.)"
        )
    out.reshape(-1)[:] = ones
    return out


def _expand_error(own: tuple, target: tuple) -> str:
    if len(own) > len(target):
        return (
            f"expand: the requested shape has too few dimensions: the number of sizes provided ({len(target)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(own)})"
        )
    offset = len(target) - len(own)
    axis = next(i for i in reversed(range(len(own))) if own[i] not in (1, target[offset + i]))
    return (
        f"The expanded size of the tensor ({target[offset + axis]}) must match the existing size ({own[axis]}) at "
        f"non-singleton dimension {offset + axis}.  Target sizes: {list(target)}.  Tensor sizes: {list(own)}"
    )


def geometric(engine: Engine, shape, p: float, dtype: Any = np.float32) -> np.ndarray:
    """The trial of the first success, as ``Tensor.geometric_`` gives it.

    Args:
        engine: advanced by two words an element.
        shape: the shape of the result.
        p: chance of success, between 0 and 1.
        dtype: an integer or floating dtype.

    Shape:
        ``shape``.

    Raises:
        RuntimeError: ``p`` is not between 0 and 1.
        NotImplementedError: torch has no kernel for ``dtype``.

    Example:
        >>> geometric(Engine(0), 3, 0.5).shape
        (3,)
    """
    p, shape, dtype = float(p), to_shape(shape), to_dtype(dtype)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={number(p)}")
    out = np.empty(shape, dtype)
    if out.size:
        require_kernel("geometric_cpu", dtype, NUMERIC)
    log_failure = math.log1p(-p)

    def transform(words: np.ndarray, part: np.ndarray) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            part[:] = rounded(np.ceil(np.log(uniform53(words)) / log_failure), dtype)

    rounds.fill(out.reshape(-1), engine.raw64, transform, _CHUNK // 4, _CHUNK)
    return out


def multinomial(engine: Engine, weights: np.ndarray, num_samples: int, replacement: bool = False) -> np.ndarray:
    """Indices drawn with chances in proportion to ``weights``, as ``torch.multinomial`` gives them.

    Args:
        engine: advanced by two words a weight without replacement (or for one sample), else two words a sample.
        weights: a floating array of one or two dimensions, none negative.
        num_samples: how many indices to draw from each row.
        replacement: whether an index may come more than once.

    Shape:
        ``weights``: ``(n,)`` or ``(m, n)``; result: ``(num_samples,)`` or ``(m, num_samples)``, int64.

    Raises:
        RuntimeError: the weights have another shape or dtype, are negative or not finite, or sum to 0; or too many
            samples are asked for.

    Example:
        >>> multinomial(Engine(0), np.array([0.0, 1.0, 0.0], np.float32), 2, replacement=True)
        array([1, 1])
    """
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if weights.dtype not in FLOATS:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {scalar_name(weights.dtype)}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    rows = weights.reshape(-1, weights.shape[-1])
    shape = (*weights.shape[:-1], num_samples)
    if not weights.size:
        return np.empty(shape, np.int64)
    if replacement and num_samples > 1:
        return np.stack([_with_replacement(engine, row, num_samples) for row in rows]).reshape(shape)
    wide = rows.astype(np.float32) if weights.dtype in REDUCED else rows
    if not (np.isfinite(wide).all() and (wide >= 0).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (wide.sum(1) == 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    times = exponential(engine, rows.shape, 1.0, weights.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        keys = rounded(wide / (times.astype(np.float32) if weights.dtype in REDUCED else times), weights.dtype)
    if num_samples == 1:
        return np.argmax(keys, axis=1).reshape(shape)
    return np.argsort(-keys.astype(np.float64), axis=1, kind="stable")[:, :num_samples].reshape(shape)


def _with_replacement(engine: Engine, row: np.ndarray, num_samples: int) -> np.ndarray:
    wide = row.astype(np.float32) if row.dtype in REDUCED else row
    problem = "invalid multinomial distribution"
    bad = ~(np.isfinite(wide) & (wide >= 0))
    if bad.any():
        kind = "< 0" if wide[np.argmax(bad)] < 0 else "= infinity or NaN"
        raise RuntimeError(f"{problem} (encountering probability entry {kind})")
    total = np.cumsum(wide)  # one by one, in the weights' precision
    if not total[-1] > 0:
        raise RuntimeError(f"{problem} (sum of probabilities <= 0)")
    total = total / total[-1]
    total[-1] = 1
    return np.searchsorted(total.astype(np.float64), uniform53(engine.raw64(num_samples)), side="left")
