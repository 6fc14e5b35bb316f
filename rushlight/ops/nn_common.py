"""Owns what the neural-network operators share: dtype checks in torch's words, low precision, tuples of sizes.

May import the door, dtypes and jax; every check here runs while a program is traced, so cached calls pay nothing.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from ._execute import scalar_name

LOW = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
_C_NAMES = {
    "float32": "float", "float64": "double", "int64": "long int", "int32": "int", "int16": "short int",
    "int8": "signed char", "uint8": "unsigned char", "bool": "bool", "float16": "c10::Half",
    "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def dtype_of(array) -> dtypes.dtype:
    """The torch dtype of a traced array."""
    return dtypes._FROM_NP[array.dtype]


def c_name(array) -> str:
    """The C++ type name that some of torch's messages use (``float``, ``long int``)."""
    return _C_NAMES.get(dtype_of(array).name, dtype_of(array).name)


def is_float(array) -> bool:
    """Whether a traced array has a real floating-point dtype."""
    return jnp.issubdtype(array.dtype, jnp.floating)


def need_float(array, kernel: str) -> None:
    """Refuse integers, bools and complex numbers.

    Raises:
        NotImplementedError: in torch's words, which name its kernel.
    """
    if not is_float(array):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(dtype_of(array))}'")


def widen(array) -> Any:
    """Half precision as float32, in which torch computes such operators; anything else as it is."""
    return array if array is None or array.dtype not in LOW else array.astype(jnp.float32)


def elementwise(kernel: str | None = None):
    """Declare an elementwise function of a float array that computes half precision in float32.

    Args:
        kernel: torch's name of the kernel, for the error on integers; None accepts any dtype.
    """

    def decorate(function):
        @functools.wraps(function)
        def run(input, *args, **kwargs):
            if kernel is not None:
                need_float(input, kernel)
            if input.dtype not in LOW:
                return function(input, *args, **kwargs)
            return function(input.astype(jnp.float32), *args, **kwargs).astype(input.dtype)

        return run

    return decorate


def sizes(value, count: int, message: str) -> tuple:
    """``count`` ints from an int or a sequence.

    Raises:
        RuntimeError: ``message``, where the sequence has another length.
    """
    if isinstance(value, int):
        return (value,) * count
    value = tuple(int(v) for v in value)
    if len(value) == 1:
        return value * count
    if len(value) != count:
        raise RuntimeError(message)
    return value


def concrete(tensor):
    """A host array of the tensor's contents where that is cheap (on the CPU, outside traces), else None."""
    array = tensor._array()
    if isinstance(array, (Tracer, jax.ShapeDtypeStruct)) or tensor.device.type != "cpu":
        return None
    return np.asarray(array)


def joined(numbers) -> str:
    """Sizes as torch's C++ messages print them: ``3 x 4``."""
    return " x ".join(map(str, numbers))
