"""Owns questions about tensors and types as functions, and torch's mathematical constants.

May import the tensor cell and dtypes.
"""

from __future__ import annotations

import math

from .. import dtypes
from .._tensor.overriding import hand_over, overloaded
from .._tensor.storage import UntypedStorage
from .._tensor.tensor import Tensor

e, inf, nan, pi = math.e, math.inf, math.nan, math.pi
newaxis = None
legacy_contiguous_format = dtypes.contiguous_format


def numel(input) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input) -> bool:
    """Whether the dtype is a floating point type."""
    return input.is_floating_point()


def is_complex(input) -> bool:
    """Whether the dtype is complex."""
    return input.is_complex()


def is_signed(input) -> bool:
    """Whether the dtype is signed."""
    return input.is_signed()


def is_conj(input) -> bool:
    """Whether a conjugation is still to be computed: never here."""
    return input.is_conj()


def is_neg(input) -> bool:
    """Whether a negation is still to be computed: never here."""
    return input.is_neg()


def is_nonzero(input) -> bool:
    """Whether the one element is not zero."""
    return input.is_nonzero()


def is_inference(input) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


def is_distributed(input) -> bool:
    """Always False: torch's flag for a kind of tensor that is gone."""
    return False


def is_storage(obj) -> bool:
    """Whether ``obj`` is the memory behind a tensor."""
    return isinstance(obj, UntypedStorage)


def get_device(input) -> int:
    """The CUDA index, or -1 on the CPU."""
    return input.get_device()


def typename(obj) -> str:
    """The name of a type or of an object's type, with its module; a tensor's old type name.

    Example:
        >>> typename(3)
        'int'
    """
    if isinstance(obj, Tensor):
        return str(obj.type())
    kind = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", "") or ""
    return kind.__qualname__ if module in ("", "builtins", "__builtin__") else f"{module}.{kind.__qualname__}"


def set_default_tensor_type(t, /) -> None:
    """torch's old way to set the default dtype.

    Raises:
        TypeError: not a floating point type.
    """
    name = t if isinstance(t, str) else getattr(t, "__name__", str(t))
    named = {"FloatTensor": dtypes.float32, "DoubleTensor": dtypes.float64, "HalfTensor": dtypes.float16,
             "BFloat16Tensor": dtypes.bfloat16}  # fmt: skip
    found = named.get(name.split(".")[-1])
    if found is None:
        raise TypeError(f"invalid type object: only floating-point types are supported as the default type, got {name}")
    dtypes.set_default_dtype(found)


def _assert(condition, message: str) -> None:
    """Python's ``assert`` as a function, which programs written for tracers call.

    Raises:
        AssertionError: the condition is false.
    """
    asked = overloaded((condition,))
    if asked:
        hand_over(_assert, "torch._assert", asked, (condition, message), {}, True)
    elif not condition:
        raise AssertionError(message)


__all__ = [
    "_assert", "e", "get_device", "inf", "is_complex", "is_conj", "is_distributed", "is_floating_point", "is_inference",
    "is_neg", "is_nonzero", "is_signed", "is_storage", "legacy_contiguous_format", "nan", "newaxis", "numel", "pi",
    "set_default_tensor_type", "typename",
]  # fmt: skip
