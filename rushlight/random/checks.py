"""Owns what the distributions share: dtype names as torch prints them, bounds, rounding to a dtype, shapes.

May import numpy and ml_dtypes.
"""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16, FLOAT32, FLOAT64 = (np.dtype(t) for t in (np.float16, np.float32, np.float64))
BOOL = np.dtype(np.bool_)
FLOATS = (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)
REDUCED = (FLOAT16, BFLOAT16)
COMPLEX = {np.dtype(np.complex64): FLOAT32, np.dtype(np.complex128): FLOAT64}
INTEGERS = tuple(np.dtype(t) for t in (np.uint8, np.int8, np.int16, np.int32, np.int64))
WIDE_UNSIGNED = tuple(np.dtype(t) for t in (np.uint16, np.uint32, np.uint64))
NUMERIC = INTEGERS + FLOATS

# torch's two ways of printing an element type: its ScalarType name and the C++ type behind it.
_NAMES = {
    np.dtype(np.uint8): ("Byte", "unsigned char"),
    np.dtype(np.int8): ("Char", "signed char"),
    np.dtype(np.int16): ("Short", "short int"),
    np.dtype(np.int32): ("Int", "int"),
    np.dtype(np.int64): ("Long", "long int"),
    np.dtype(np.uint16): ("UInt16", "short unsigned int"),
    np.dtype(np.uint32): ("UInt32", "unsigned int"),
    np.dtype(np.uint64): ("UInt64", "long unsigned int"),
    BOOL: ("Bool", "bool"),
    FLOAT16: ("Half", "c10::Half"),
    BFLOAT16: ("BFloat16", "c10::BFloat16"),
    FLOAT32: ("Float", "float"),
    FLOAT64: ("Double", "double"),
    np.dtype(np.complex64): ("ComplexFloat", "c10::complex<float>"),
    np.dtype(np.complex128): ("ComplexDouble", "c10::complex<double>"),
}
_FLOAT8 = ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")
_NAMES.update({np.dtype(getattr(ml_dtypes, f"float8_{n}")): (f"Float8_{n}", f"c10::Float8_{n}") for n in _FLOAT8})

DIGITS = {FLOAT16: 11, BFLOAT16: 8, FLOAT32: 24, FLOAT64: 53}
LARGEST = {d: float(ml_dtypes.finfo(d).max) for d in FLOATS}
SMALLEST = {d: float(ml_dtypes.finfo(d).smallest_normal) for d in FLOATS}


def to_dtype(dtype) -> np.dtype:
    """The numpy dtype for a numpy or ml_dtypes dtype, or for anything that carries one as ``.np``."""
    return np.dtype(getattr(dtype, "np", dtype))


def scalar_name(dtype: np.dtype) -> str:
    """torch's ScalarType name, for example ``Float``."""
    return _NAMES[dtype][0] if dtype in _NAMES else str(dtype)


def cpp_name(dtype: np.dtype) -> str:
    """The C++ type torch names in range errors, for example ``c10::Half``."""
    return _NAMES[dtype][1] if dtype in _NAMES else str(dtype)


def require_kernel(kernel: str, dtype: np.dtype, supported: tuple) -> None:
    """Raise torch's error unless ``kernel`` handles ``dtype``."""
    if dtype not in supported:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(dtype)}'")


def to_shape(shape) -> tuple[int, ...]:
    """``shape`` as a tuple; a bare int is one dimension."""
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(s) for s in shape)


def number(value: float) -> str:
    """``value`` as a C++ stream prints a double."""
    return f"{value:g}"


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``values`` in ``dtype``; 16-bit floats are reached by way of float32, as in torch."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype in REDUCED and values.dtype != FLOAT32:
            values = values.astype(np.float32)
        return values.astype(dtype, copy=False)


def rounded_scalar(value: float, dtype: np.dtype):
    """One Python number in ``dtype``, rounded as ``rounded`` does."""
    return rounded(np.array(value, np.float64), dtype)[()]


def expect_above(name: str, argument: str, value: float, shown: str) -> None:
    """Raise torch's error unless ``value`` is greater than 0."""
    if not value > 0:
        raise RuntimeError(f"{name} expects {argument} > 0.0, but found {shown}={number(value)}")


def expect_std(std: float) -> None:
    """Raise torch's error unless ``std`` is at least 0."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {number(std)}")


def expand_shape(first: tuple, second: tuple) -> tuple:
    """The broadcast of two shapes.

    Raises:
        RuntimeError: they do not fit, in torch's words.
    """
    rank = max(len(first), len(second))
    a, b = ((1,) * (rank - len(s)) + tuple(s) for s in (first, second))
    for axis in reversed(range(rank)):
        if a[axis] != b[axis] and 1 not in (a[axis], b[axis]):
            raise RuntimeError(
                f"The size of tensor a ({a[axis]}) must match the size of tensor b ({b[axis]}) at non-singleton "
                f"dimension {axis}"
            )
    return tuple(y if x == 1 else x for x, y in zip(a, b))


def size_of(shape: tuple) -> int:
    """How many elements ``shape`` has."""
    return math.prod(shape)
