"""Owns rebuilding numpy dtypes, scalars and arrays from a pickle, with every number checked before numpy sees it.

May import numpy and the standard library.
"""

from __future__ import annotations

import math
import pickle
import re
from typing import Any, cast

import numpy as np

from .brief import brief
from .names import torch_name

# bool, integers, floats, complex, bytes and str: nothing that holds Python objects or nested fields.
_DTYPE = re.compile(r"[<>|=]?([biufcSU])(\d{1,9})")


class UnusualType(pickle.UnpicklingError):
    """numpy data of a kind that is not rebuilt: objects, records, dates."""


def _bad(what: str, received) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"numpy {what} in a checkpoint: expected plain numbers or text, received {brief(received)}. Save it as a "
        "tensor or as a list instead."
    )


def make_dtype(args: tuple, _kwargs=None) -> np.dtype:
    """``numpy.dtype('f4', False, True)``: a fresh object, because the byte order is set on it later."""
    name = args[0] if args else None
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    if not isinstance(name, str) or len(args) > 3:
        raise _bad("dtype", args)
    if not _DTYPE.fullmatch(name):
        raise UnusualType(str(_bad("dtype", args)))
    try:
        return np.dtype(name, align=False, copy=True)
    except TypeError:
        raise _bad("dtype", args) from None


def set_dtype(found: np.dtype, state) -> None:
    """Apply the state numpy saves with a dtype; only the byte order of a plain one is accepted."""
    sound = (
        isinstance(state, tuple)
        and len(state) == 8
        and state[0] in (3, 4)
        and state[1] in ("<", ">", "|", "=")
        and state[2:5] == (None, None, None)
        and all(type(n) is int for n in state[5:])
        and state[5] in (-1, found.itemsize)
        and state[6] in (-1, found.alignment)
    )
    if not sound:
        raise _bad("dtype state", state)
    cast(Any, found).__setstate__(state)


def _checked_dtype(found) -> np.dtype:
    if not isinstance(found, np.dtype) or found.hasobject or found.kind not in "biufcSU":
        raise UnusualType(str(_bad("dtype", found)))
    return found


def make_scalar(args: tuple, _kwargs=None):
    """``numpy.core.multiarray.scalar(dtype, bytes)``."""
    if len(args) != 2 or not isinstance(args[1], (bytes, str)):
        raise _bad("scalar", args)
    dtype, data = _checked_dtype(args[0]), _as_bytes(args[1])
    if len(data) != dtype.itemsize or not data:
        raise _bad("scalar", args)
    return np.frombuffer(data, dtype)[0]


def _as_bytes(data) -> bytes:
    # Arrays that Python 2 wrote come as text when the encoding is latin1.
    return data.encode("latin1") if isinstance(data, str) else data


def make_empty(args: tuple, _kwargs=None) -> np.ndarray:
    """``numpy.core.multiarray._reconstruct(ndarray, (0,), b'b')``: an empty array that its state then fills."""
    if len(args) != 3 or args[0] is not np.ndarray or args[1] != (0,):
        raise _bad("array", args)
    return np.ndarray((0,), np.int8)


def set_array(found: np.ndarray, state) -> None:
    """Fill an array from (version, shape, dtype, column-major, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5 or found.shape != (0,):
        raise _bad("array state", state)
    version, shape, dtype, columns, data = state
    dtype = _checked_dtype(dtype)
    if version != 1 or not isinstance(data, (bytes, str)):
        raise _bad("array state", state)
    data = _as_bytes(data)
    _check_shape(shape, dtype, len(data))
    cast(Any, found).__setstate__((1, shape, dtype, bool(columns), data))


# How numpy begins an array that its state then fills.
EMPTY = (torch_name("numpy.core.multiarray", "_reconstruct"), (np.ndarray, (0,), b"b"))


def hold(found: np.ndarray, value) -> None:
    """Let an empty array, whose identity the pickle already uses, hold one object instead."""
    cast(Any, found).__setstate__((1, (), np.dtype("O"), False, [value]))


def from_buffer(args: tuple, _kwargs=None) -> np.ndarray:
    """``numpy.core.numeric._frombuffer(data, dtype, shape, order)``, which protocol 5 writes."""
    if len(args) != 4 or not isinstance(args[0], (bytes, bytearray)) or args[3] not in ("C", "F"):
        raise _bad("array", args)
    dtype = _checked_dtype(args[1])
    _check_shape(args[2], dtype, len(args[0]))
    return np.frombuffer(bytearray(args[0]), dtype).reshape(args[2], order=args[3])


def _check_shape(shape, dtype: np.dtype, size: int) -> None:
    sound = isinstance(shape, tuple) and len(shape) <= 64 and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    if not sound or math.prod(shape) * dtype.itemsize != size:
        raise _bad("array shape", shape)
