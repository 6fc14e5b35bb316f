"""Owns elementwise arithmetic of two operands: + - * / // % **, clamping, extremes and their blends.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._errors import type_name
from .._tensor.tensor import Tensor
from ._execute import write_out
from ._op import Array, Number, attach, in_place_form, op
from ._promotion import cast, common, is_number, result_dtype, rounded_once

# -- adding and multiplying -----------------------------------------------------------------------------------------


def _alpha(alpha, like):
    """The factor of the second operand, in the dtype of the operation; it takes no part in promotion.

    Raises:
        RuntimeError: a factor of a higher category than the operands.
    """
    kind, target = dtypes.from_numpy(alpha.dtype), dtypes.from_numpy(like.dtype)
    if target.category == 0 and kind.category:
        raise RuntimeError("For bool tensors, argument alpha must be a bool.")
    if target.category == 1 and kind.category == 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if target.category < 3 and kind.category == 3:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    return cast(alpha, target)


def _plus(a, b):
    return a | b if a.dtype == bool else a + b


@op(inplace=True, linear=True)
def add(input: Array, other: Array, *, alpha: Number | None = None):
    """``input + alpha * other``, broadcast and promoted.

    Example:
        >>> import rushlight as torch
        >>> torch.add(torch.tensor([1, 2]), torch.tensor([3, 4]), alpha=2)
        tensor([ 7, 10])
    """
    (a, b), finish = common([input, other])
    (a, b), rounded = rounded_once(a, b, several=alpha is not None)
    out = rounded(_plus(a, b if alpha is None else b * _alpha(alpha, b)))
    return out if finish is None else finish(out)


def _refuse_bool(a, b):
    if a.dtype == bool and b.dtype == bool:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` "
            "operator instead."
        )
    if a.dtype == bool or b.dtype == bool:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, "
            "use the `~` or `logical_not()` operator instead."
        )


@op(inplace=True, linear=True)
def sub(input: Array, other: Array, *, alpha: Number | None = None):
    """``input - alpha * other``, broadcast and promoted.

    Raises:
        RuntimeError: an operand is bool.
    """
    _refuse_bool(input, other)
    (a, b), finish = common([input, other])
    (a, b), rounded = rounded_once(a, b, several=alpha is not None)
    out = rounded(a - (b if alpha is None else b * _alpha(alpha, b)))
    return out if finish is None else finish(out)


@op(inplace=True, linear=True, numbers=("other",))
def rsub(input: Array, other: Array, *, alpha: Number | None = None):
    """``other - alpha * input``."""
    return sub.fn(other, input, alpha=alpha)


@op(promote="common", inplace=True)
def mul(input: Array, other: Array):
    """``input * other``, broadcast and promoted."""
    return input * other


# -- dividing -------------------------------------------------------------------------------------------------------


@op(name="div", method=False, promote="float")
def true_divide(input: Array, other: Array):
    """``input / other``; integers become floating."""
    return input / other


def _floored(a, b):
    """torch's floor division: rounds the exact quotient, and gives inf where the divisor is zero."""
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        return a // b
    rest = jax.lax.rem(a, b)
    quotient = (a - rest) / b
    quotient = jnp.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)
    whole = jnp.floor(quotient)
    whole = jnp.where(quotient - whole > 0.5, whole + 1, whole)
    whole = jnp.where(quotient == 0, jnp.copysign(jnp.zeros_like(a), a / b), whole)
    return jnp.where(b == 0, a / b, whole)


def _truncated(a, b):
    return jnp.trunc(a / b) if jnp.issubdtype(a.dtype, jnp.inexact) else jax.lax.div(a, b)


@op(name="div", method=False, promote="common")
def _div_floor(input: Array, other: Array):
    return jax.lax.stop_gradient(_floored(*jnp.broadcast_arrays(input, other)))


@op(name="div", method=False, promote="common")
def _div_trunc(input: Array, other: Array):
    return jax.lax.stop_gradient(_truncated(*jnp.broadcast_arrays(input, other)))


def _integral(x) -> bool:
    return x.dtype.category < 2 if isinstance(x, Tensor) else isinstance(x, (int, np.integer))


def _check_zero(input, other) -> None:
    """Integers divided by zero raise in torch; XLA would give -1."""
    if not (_integral(input) and _integral(other)):
        return
    if isinstance(other, Tensor):
        array = other._array()
        if isinstance(array, (Tracer, jax.ShapeDtypeStruct)) or np.asarray(array).all():
            return
    elif other:
        return
    raise RuntimeError("ZeroDivisionError")


def div(input, other, *, rounding_mode=None, out=None):
    """``input / other``, optionally rounded down (``"floor"``) or towards zero (``"trunc"``).

    Raises:
        RuntimeError: integers are divided by zero, or another rounding mode.

    Example:
        >>> import rushlight as torch
        >>> torch.div(torch.tensor([7, -7]), 2, rounding_mode="floor")
        tensor([ 3, -4])
    """
    if rounding_mode is None:
        result = true_divide(input, other)
    elif rounding_mode in ("floor", "trunc"):
        _check_zero(input, other)
        result = (_div_floor if rounding_mode == "floor" else _div_trunc)(input, other)
    else:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return result if out is None else write_out("div", result, out)


def floor_divide(input, other, *, out=None):
    """``input // other``, rounded down."""
    return div(input, other, rounding_mode="floor", out=out)


@op(name="remainder", method=False, promote="common")
def _remainder(input: Array, other: Array):
    return jnp.remainder(input, other)


@op(name="fmod", method=False, promote="common", numbers=("other",))
def _fmod(input: Array, other: Array):
    return jax.lax.rem(*jnp.broadcast_arrays(input, other))


def remainder(input, other, *, out=None):
    """What is left of ``input`` after floor division: it has the sign of ``other``."""
    _need_a_tensor("remainder", input, other)
    _check_zero(input, other)
    return _remainder(input, other, out=out)


def fmod(input, other, *, out=None):
    """What is left of ``input`` after truncating division: it has the sign of ``input``."""
    _check_zero(input, other)
    return _fmod(input, other, out=out)


# -- powers ---------------------------------------------------------------------------------------------------------

_EASY_POWERS = (2, 3, 4, -1, -2, 0.5, -0.5, 1)


@op(name="pow", method=False)
def _pow_fixed(input: Array, exponent, floating):
    """Powers that need no logarithm; ``floating`` says that the exponent was a float."""
    if input.dtype == bool or (floating and not jnp.issubdtype(input.dtype, jnp.inexact)):
        input = cast(input, dtypes.default_dtype() if floating else dtypes.int64)
    if exponent in (0.5, -0.5):
        root = jnp.sqrt(input)
        return root if exponent > 0 else 1 / root
    return jax.lax.integer_pow(input, int(exponent))


@op(name="pow", method=False, promote="common")
def _pow(input: Array, exponent: Array):
    if input.dtype == bool:
        return input | ~exponent
    if jnp.issubdtype(input.dtype, jnp.integer):
        return _integer_power(input, exponent)
    # 0 ** 0 is one whatever the base does: its gradient is zero, not 0 * inf.
    return jnp.power(jnp.where((input == 0) & (exponent == 0), 1, input), exponent)


def _integer_power(base, exponent):
    """Integer powers by squaring, which wrap; a negative exponent gives 1 / base truncated to 0, 1 or -1."""
    power = jnp.power(base, jnp.maximum(exponent, 0))
    if not jnp.issubdtype(base.dtype, jnp.signedinteger):
        return power
    odd = (exponent & 1) == 1
    inverse = jnp.where(base == 1, 1, jnp.where(base == -1, jnp.where(odd, -1, 1), 0)).astype(base.dtype)
    return jnp.where(exponent < 0, inverse, power)


def _need_a_tensor(name, *operands):
    """Raises:
    TypeError: two numbers."""
    if not any(isinstance(x, (Tensor, np.ndarray)) for x in operands):
        kinds = ", ".join(type_name(x) for x in operands)
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({kinds}), but expected at least one Tensor"
        )


def pow(input, exponent, *, out=None):
    """``input ** exponent``; either may be a number.

    Raises:
        RuntimeError: integers to a negative integer power.
    """
    kind = type(exponent)
    if not isinstance(input, Tensor):
        _need_a_tensor("pow", input, exponent)
    if (kind is int or kind is float) and isinstance(input, Tensor):
        integers = input.dtype.category < 2
        if kind is int and exponent < 0 and integers:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        if exponent in _EASY_POWERS:
            return _pow_fixed(input, exponent, kind is float, out=out)
    return _pow(input, exponent, out=out)


@op(name="float_power", method=False)
def _float_power(input: Array, exponent: Array):
    complex_ = jnp.iscomplexobj(input) or jnp.iscomplexobj(exponent)
    d = dtypes.complex128 if complex_ else dtypes.float64
    return jnp.power(cast(input, d), cast(exponent, d))


def float_power(input, exponent, *, out=None):
    """``input ** exponent`` in float64 (complex128)."""
    _need_a_tensor("float_power", input, exponent)
    return _float_power(input, exponent, out=out)


# -- extremes and bounds --------------------------------------------------------------------------------------------


@op(promote="common", numbers=())
def maximum(input: Array, other: Array):
    """The larger of two elements; nan wins; where they are equal each gets half of the gradient."""
    return jnp.maximum(input, other)


@op(promote="common", numbers=())
def minimum(input: Array, other: Array):
    """The smaller of two elements; nan wins."""
    return jnp.minimum(input, other)


@op(promote="common", numbers=())
def fmax(input: Array, other: Array):
    """The larger of two elements; a number wins over nan."""
    return jnp.where((input >= other) | jnp.isnan(other), input, other)


@op(promote="common", numbers=())
def fmin(input: Array, other: Array):
    """The smaller of two elements; a number wins over nan."""
    return jnp.where((input <= other) | jnp.isnan(other), input, other)


@op(name="clamp", method=False, numbers=("min", "max"))
def _clamp(input: Array, min: Array | None = None, max: Array | None = None):
    given = [x for x in (input, min, max) if x is not None]
    if all(x.dtype == bool for x in given) and (len(given) > 2 or is_number(given[1])):
        which = "clamp_cpu" if len(given) > 2 else f"clamp_{'max' if min is None else 'min'}_scalar_cpu"
        raise NotImplementedError(f"\"{which}\" not implemented for 'Bool'")
    if any(jnp.iscomplexobj(x) for x in given):
        raise RuntimeError("clamp is not supported for complex types")
    target = result_dtype(given)
    out = cast(input, target)
    for bound, below in ((min, True), (max, False)):
        if bound is None:
            continue
        bound = cast(bound, target)
        outside = out < bound if below else out > bound
        if not is_number(bound) and jnp.issubdtype(bound.dtype, jnp.floating):
            outside = outside | jnp.isnan(bound)
        out = jnp.where(outside, bound, out)
    if target.category == 2:
        out = jnp.where(jnp.isnan(out), jax.lax.stop_gradient(out), out)
    return out


def clamp(input, min=None, max=None, *, out=None):
    """``input`` moved into ``[min, max]``; at a bound the gradient still flows.

    Args:
        min, max: numbers or tensors; one of them may be None.

    Raises:
        RuntimeError: both bounds are None.

    Example:
        >>> import rushlight as torch
        >>> torch.clamp(torch.tensor([-2.0, 0.5, 3.0]), 0, 1)
        tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return _clamp(input, min, max, out=out)


def clamp_min(input, min, *, out=None):
    """``input``, no smaller than ``min``."""
    return clamp(input, min, out=out)


def clamp_max(input, max, *, out=None):
    """``input``, no larger than ``max``."""
    return clamp(input, None, max, out=out)


clip = clamp

# -- blends ---------------------------------------------------------------------------------------------------------


@op(inplace=True, numbers=("weight",))
def lerp(input: Array, end: Array, weight: Array):
    """``input + weight * (end - input)``.

    Raises:
        RuntimeError: dtypes differ.
    """
    for name, x in (("end", end), ("weight", weight)):
        if x.dtype != input.dtype and not is_number(x):
            raise RuntimeError(
                f"expected dtype {dtypes.from_numpy(input.dtype).name} for `{name}` but got dtype "
                f"{dtypes.from_numpy(x.dtype).name}"
            )
    (input, end), rounded = rounded_once(input, end)
    weight = cast(weight, dtypes.from_numpy(input.dtype))
    step = end - input
    return rounded(jnp.where(abs(weight) < 0.5, input + weight * step, end - step * (1 - weight)))


def _blend(name, combine, promote):
    def fn(input: Array, tensor1: Array, tensor2: Array, *, value: Number | None = None):
        (a, b, c), _ = common([input, tensor1, tensor2])
        if promote and not jnp.issubdtype(a.dtype, jnp.inexact):
            raise RuntimeError(
                "Integer division with addcdiv is no longer supported, and in a future release addcdiv will perform a "
                "true division of tensor1 and tensor2. Divide and add yourself, or convert the inputs to floating."
            )
        (a, b, c), rounded = rounded_once(a, b, c)
        return rounded(combine(a, b, c, 1 if value is None else _alpha(value, a)))

    fn.__name__ = name
    sign = "/" if promote else "*"
    fn.__doc__ = f"``input + value * tensor1 {sign} tensor2``."
    return op(fn, inplace=True, numbers=())


addcmul = _blend("addcmul", lambda a, b, c, v: a + v * b * c, False)
addcdiv = _blend("addcdiv", lambda a, b, c, v: a + v * (b / c), True)


def _safe_atan2(y, x):
    """Its gradient at the origin is zero."""
    origin = (x == 0) & (y == 0)
    value = jax.lax.stop_gradient(jnp.arctan2(y, x))
    return jnp.where(origin, value, jnp.arctan2(jnp.where(origin, 1, y), jnp.where(origin, 1, x)))


def _safe_hypot(a, b):
    zero = (a == 0) & (b == 0)
    return jnp.where(zero, 0, jnp.hypot(jnp.where(zero, 1, a), jnp.where(zero, 1, b)))


def _power_of_two(n):
    """Exact for whole numbers, for which XLA's exp2 is not."""
    if jnp.iscomplexobj(n):
        return jnp.exp(n * math.log(2))
    rough = jnp.exp2(n)
    whole = jnp.round(n)
    exact = jnp.where(whole == n, jnp.ldexp(jnp.ones_like(n), jnp.clip(whole, -2000, 2000).astype(jnp.int32)), rough)
    return rough + jax.lax.stop_gradient(exact - rough)


@jax.custom_jvp
def _next(x, y):
    return jnp.nextafter(x, y)


_next.defjvps(lambda t, out, x, y: t + jnp.zeros_like(out), lambda t, out, x, y: jnp.zeros_like(out) * t)


def _log_sum(x, y):
    """torch's logarithm of a sum: a complex one continues the larger operand's angle beyond pi."""
    if not jnp.iscomplexobj(x):
        return jnp.logaddexp(x, y)
    x, y = jnp.broadcast_arrays(x, y)
    first = x.real >= y.real
    large, small = jnp.where(first, x, y), jnp.where(first, y, x)
    return large + jnp.log1p(jnp.exp(small - large))


_BINARY = {
    "atan2": (_safe_atan2, "float", "The angle of the point (other, input), in (-pi, pi]."),
    "hypot": (_safe_hypot, "common", "``sqrt(input**2 + other**2)`` without overflow."),
    "logaddexp": (_log_sum, "float", "``log(exp(input) + exp(other))`` without overflow."),
    "logaddexp2": (jnp.logaddexp2, "float", "``log2(2**input + 2**other)`` without overflow."),
    "copysign": (jnp.copysign, "float", "The size of ``input`` with the sign of ``other``."),
    "nextafter": (_next, "common", "The next number after ``input`` towards ``other``."),
    "heaviside": (
        lambda x, v: jnp.where(x == 0, v, (x > 0).astype(x.dtype)), "common", "0, ``other`` or 1 by sign of ``input``."
    ),
    "xlogy": (jax.scipy.special.xlogy, "float", "``input * log(other)``; 0 where ``input`` is 0."),
    "ldexp": (lambda x, n: x * _power_of_two(n), "float", "``input * 2 ** other``."),
    "gcd": (jnp.gcd, "common", "The greatest common divisor."),
    "lcm": (jnp.lcm, "common", "The least common multiple."),
}  # fmt: skip


_EITHER = ("input", "other")


def _binary(name, f, promote, doc):
    def fn(input: Array, other: Array):
        return f(input, other)

    fn.__name__, fn.__doc__ = name, doc
    return op(fn, inplace=True, promote=promote, numbers={"copysign": ("other",), "xlogy": _EITHER}.get(name, ()))


atan2, hypot, logaddexp, logaddexp2, copysign, nextafter, heaviside, xlogy, ldexp, gcd, lcm = (
    _binary(_name, *_parts) for _name, _parts in _BINARY.items()
)
arctan2 = atan2
attach("arctan2", atan2)
attach("arctan2_", Tensor.atan2_)

# -- second names and methods ---------------------------------------------------------------------------------------

subtract, multiply, divide = sub, mul, div
for _name, _function in {
    "div": div, "divide": div, "true_divide": true_divide, "floor_divide": floor_divide, "remainder": remainder,
    "fmod": fmod, "pow": pow, "float_power": float_power, "clamp": clamp, "clip": clamp, "clamp_min": clamp_min,
    "clamp_max": clamp_max, "subtract": sub, "multiply": mul,
}.items():  # fmt: skip
    attach(_name, _function)
    attach(_name + "_", in_place_form(_function, _name))


__all__ = [
    "add", "addcdiv", "addcmul", "arctan2", "atan2", "clamp", "clamp_max", "clamp_min", "clip", "copysign", "div",
    "divide", "float_power", "floor_divide", "fmax", "fmin", "fmod", "gcd", "heaviside", "hypot", "lcm", "ldexp",
    "lerp", "logaddexp", "logaddexp2", "maximum", "minimum", "mul", "multiply", "nextafter", "pow", "remainder", "rsub",
    "sub", "subtract", "true_divide", "xlogy",
]  # fmt: skip
