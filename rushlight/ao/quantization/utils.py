"""Owns the limits of quantized types and small questions about qschemes and modules.

May import dtypes.
"""

from __future__ import annotations

from typing import Any

from ... import dtypes
from ...nn.utils.parametrize import is_parametrized

_PER_TENSOR = (dtypes.per_tensor_affine, dtypes.per_tensor_symmetric)
_PER_CHANNEL = (dtypes.per_channel_affine, dtypes.per_channel_symmetric, dtypes.per_channel_affine_float_qparams)

# The lowest and highest level of each type, and those of the reduced range where there is one.
_LEVELS = {
    "int8": ((-128, 127), (-64, 63)),
    "uint8": ((0, 255), (0, 127)),
    "int32": ((-(2**31), 2**31 - 1),) * 2,
    "uint16": ((0, 2**16 - 1),) * 2,
    "int16": ((-(2**15), 2**15 - 1),) * 2,
}
_FOUR_BITS = ((0, 15),) * 2


def is_per_tensor(qscheme: Any) -> bool:
    """Whether one grid serves the whole tensor."""
    return qscheme in _PER_TENSOR


def is_per_channel(qscheme: Any) -> bool:
    """Whether each channel has a grid of its own."""
    return qscheme in _PER_CHANNEL


def validate_qmin_qmax(quant_min: int, quant_max: int) -> None:
    """Check limits that a user gave.

    Raises:
        AssertionError: they leave out 0, or are in the wrong order.
    """
    if not quant_min <= 0 <= quant_max:
        raise AssertionError("Used-specified quantization range must include 0.")
    if quant_min >= quant_max:
        raise AssertionError("qmin must be strictly less than qmax for user-specified quantization range.")


def calculate_qmin_qmax(
    quant_min: int | None, quant_max: int | None, has_customized_qrange: bool, dtype: Any, reduce_range: bool
) -> tuple[int, int]:
    """The lowest and highest level.

    Args:
        quant_min, quant_max: the user's.
        has_customized_qrange: whether the user gave them.
        dtype: the type of the levels; its own limits hold where the user gave none.
        reduce_range: leave out one bit.

    Raises:
        AssertionError: more levels than the type has.
    """
    held = dtype.name.removeprefix("q")
    if not has_customized_qrange or quant_min is None or quant_max is None:
        return _LEVELS.get(held, _FOUR_BITS)[reduce_range]
    most = {"int8": 2**8, "int32": 2**32}.get(held)
    if most is not None and not 0 < quant_max - quant_min + 1 <= most:
        raise AssertionError(f"quantization range should be positive and not exceed the maximum bit range (={most}).")
    return (quant_min // 2, quant_max // 2) if reduce_range else (quant_min, quant_max)


def has_no_children_ignoring_parametrizations(module: Any) -> bool:
    """Whether a module has no children but those that parametrize its parameters."""
    children = module._modules
    return not children or (is_parametrized(module) and list(children) == ["parametrizations"])


__all__ = [
    "calculate_qmin_qmax", "has_no_children_ignoring_parametrizations", "is_per_channel", "is_per_tensor",
    "validate_qmin_qmax",
]  # fmt: skip
