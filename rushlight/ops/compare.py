"""Owns comparisons, logic and bits: the operators whose results are bool or whose operands are integers.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from .. import dtypes
from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, attach, method, op
from ._promotion import cast, common, compare

# -- comparisons ----------------------------------------------------------------------------------------------------


def _comparison(name, f, doc):
    def fn(input: Array, other: Array):
        return f(input, other)

    fn.__name__, fn.__doc__ = name, doc
    return op(fn, promote="compare", inplace=True, differentiable=False, numbers=("other",))


def _ordered(name, f):
    def checked(a, b):
        if jnp.iscomplexobj(a):
            raise RuntimeError(f"{name} is not supported for complex tensors; compare .abs() or the parts")
        return f(a, b)

    return checked


eq = _comparison("eq", jnp.equal, "``input == other``, element by element.")
ne = _comparison("ne", jnp.not_equal, "``input != other``, element by element.")
lt = _comparison("lt", _ordered("lt", jnp.less), "``input < other``, element by element.")
le = _comparison("le", _ordered("le", jnp.less_equal), "``input <= other``, element by element.")
gt = _comparison("gt", _ordered("gt", jnp.greater), "``input > other``, element by element.")
ge = _comparison("ge", _ordered("ge", jnp.greater_equal), "``input >= other``, element by element.")
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

# -- logic ----------------------------------------------------------------------------------------------------------


def _logical(name, f):
    def fn(input: Array, other: Array):
        return f(input != 0, other != 0)

    fn.__name__ = name
    fn.__doc__ = f"{name.removeprefix('logical_')} of the truth of two tensors."
    return op(fn, inplace=True, differentiable=False, numbers=())


logical_and = _logical("logical_and", jnp.logical_and)
logical_or = _logical("logical_or", jnp.logical_or)
logical_xor = _logical("logical_xor", jnp.logical_xor)


@op(inplace=True, differentiable=False)
def logical_not(input: Array):
    """Whether an element is zero."""
    return input == 0


# -- bits -----------------------------------------------------------------------------------------------------------


def _need_integers(name, a):
    d = dtypes.from_numpy(a.dtype)
    if d.category > 1:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{scalar_name(d)}'")


def _bitwise(name, f, doc, message=None):
    def fn(input: Array, other: Array):
        (a, b), _ = common([input, other])
        _need_integers(message or name, a)
        return f(a, b)

    fn.__name__, fn.__doc__ = name, doc
    return op(fn, inplace=True, differentiable=False, numbers=("input", "other"))


bitwise_and = _bitwise("bitwise_and", jnp.bitwise_and, "Bits set in both; for bool, and.")
bitwise_or = _bitwise("bitwise_or", jnp.bitwise_or, "Bits set in either; for bool, or.")
bitwise_xor = _bitwise("bitwise_xor", jnp.bitwise_xor, "Bits set in one of the two; for bool, exclusive or.")
bitwise_left_shift = _bitwise("bitwise_left_shift", jnp.left_shift, "Bits moved up.", "lshift")
bitwise_right_shift = _bitwise("bitwise_right_shift", jnp.right_shift, "Bits moved down; the sign stays.", "rshift")


@op(inplace=True, differentiable=False)
def bitwise_not(input: Array):
    """All bits flipped; for bool, not."""
    _need_integers("bitwise_not", input)
    return ~input


# -- nearness and equality ------------------------------------------------------------------------------------------


@op(differentiable=False, numbers=())
def isclose(input: Array, other: Array, rtol=1e-05, atol=1e-08, equal_nan=False):
    """``|input - other| <= atol + rtol * |other|``, element by element.

    Raises:
        RuntimeError: dtypes differ.
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    if input.dtype != other.dtype:
        a, b = dtypes.from_numpy(input.dtype), dtypes.from_numpy(other.dtype)
        raise RuntimeError(f"{scalar_name(a)} did not match {scalar_name(b)}")
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        a, b = cast(input, dtypes.float64), cast(other, dtypes.float64)
        return (input == other) | (abs(a - b) <= atol + rtol * abs(b))
    return jnp.isclose(input, other, rtol, atol, equal_nan)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether all elements are close; see ``isclose``."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array().all())


@op(name="same", method=False, differentiable=False)
def _same(input: Array, other: Array):
    (a, b), _ = compare([input, other])
    return (a == b).all()


def equal(input, other) -> bool:
    """Whether two tensors have the same shape and elements.

    Example:
        >>> import rushlight as torch
        >>> torch.equal(torch.tensor([1, 2]), torch.tensor([1, 2]))
        True
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    return input.shape == other.shape and bool(_same(input, other)._array())


attach("allclose", allclose)
attach("equal", equal)
for _name, _function in {
    "not_equal": ne, "less": lt, "less_equal": le, "greater": gt, "greater_equal": ge,
}.items():  # fmt: skip
    attach(_name, _function)
    attach(_name + "_", getattr(Tensor, _function.name + "_"))


@method()
def is_nonzero(self) -> bool:
    """Whether the one element is not zero."""
    return bool(self)


__all__ = [
    "allclose", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "eq", "equal", "ge", "greater", "greater_equal", "gt", "isclose", "le", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "ne", "not_equal",
]  # fmt: skip
