"""Owns torch's type promotion, applied while a program is traced, so that a cached call pays nothing for it.

May import dtypes, the rounding of complex32, and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from .. import dtypes
from .._tensor.half_complex import rounded
from ..dtypes import dtype

_INT_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_FLOAT_ORDER = ["float16", "bfloat16", "float32", "float64"]


@functools.cache
def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both, by torch's table.

    Raises:
        RuntimeError: torch does not define it (unsigned 16 to 64 with signed, float8).

    Example:
        >>> promote_types(dtypes.int64, dtypes.float16)
        torch.float16
    """
    a, b = type1, type2
    if a is b:
        return a
    if a.category > b.category:
        a, b = b, a
    if b.category == 3:
        if a.category < 2:
            return b
        real = promote_types(a.to_real(), b.to_real())
        return real.to_complex()
    if a.name.startswith("float8") or b.name.startswith("float8"):
        if a.category < 2:
            return b
        raise RuntimeError(
            f"Promotion for Float8 Types is not supported, attempted to promote {a!r} and {b!r}; convert one first"
        )
    if a.category < b.category:
        return b
    if a.category == 2:
        if {a.name, b.name} == {"float16", "bfloat16"}:
            return dtypes.float32
        return max(a, b, key=lambda d: _FLOAT_ORDER.index(d.name))
    big_unsigned = {"uint16", "uint32", "uint64"}
    if a.name in big_unsigned or b.name in big_unsigned:
        if a.is_signed or b.is_signed:
            raise RuntimeError(
                f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a!r} and {b!r}"
            )
        return max(a, b, key=lambda d: d.itemsize)
    if a is dtypes.uint8 or b is dtypes.uint8:
        other = b if a is dtypes.uint8 else a
        return dtypes.int16 if other is dtypes.int8 else other
    return max(a, b, key=lambda d: d.itemsize)


def can_cast(source: dtype, target: dtype) -> bool:
    """Whether torch lets an operator write ``source`` results into ``target``: never to a lower category."""
    if target.category == 0:
        return source.category == 0
    if source.category > 1 or target.category > 1:
        return source.category <= target.category
    return True


def _combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    if higher is None or lower is None:
        return higher or lower
    if higher.category == 3:
        return higher
    if higher.category == 2:
        return higher.to_complex() if lower.category == 3 else higher
    if higher.category == 0 or lower.category >= 2:
        return promote_types(higher, lower)
    return higher


def of_number(value) -> dtype:
    """The dtype that a Python number brings into promotion."""
    if isinstance(value, bool):
        return dtypes.bool_
    if isinstance(value, int):
        return dtypes.int64
    return dtypes.default_dtype() if isinstance(value, float) else dtypes.default_dtype().to_complex()


def _own(a) -> dtype:
    """An operand's dtype; a weakly typed one is a Python number."""
    d = dtypes._FROM_NP[a.dtype]
    if is_number(a):
        if d.category == 2:
            return dtypes.default_dtype()
        if d.category == 3:
            return dtypes.default_dtype().to_complex()
    return d


def is_number(a) -> bool:
    """Whether a traced operand was a Python number."""
    return getattr(a, "weak_type", False)


def result_dtype(arrays) -> dtype:
    """torch's result type of several operands: dimensioned tensors first, then 0-dim tensors, then numbers."""
    groups: list[dtype | None] = [None, None, None]
    for a in arrays:
        rank = 2 if is_number(a) else 1 if a.ndim == 0 else 0
        d = _own(a)
        held = groups[rank]
        groups[rank] = d if held is None else promote_types(held, d)
    out = _combine(_combine(groups[0], groups[1]), groups[2])
    assert out is not None
    return out


_LOW = (dtypes.float16, dtypes.bfloat16)


def cast(a, d: dtype):
    """Convert a traced array the way torch does."""
    if d is dtypes.complex32:
        return rounded(a.astype(d.np))
    if a.dtype == d.np:
        return jax.lax.convert_element_type(a, a.dtype) if is_number(a) else a
    if jnp.iscomplexobj(a) and d.category < 3:
        a = a.real
    if d.category == 0:
        return a != 0
    if d.category == 1 and jnp.issubdtype(a.dtype, jnp.floating):
        # torch truncates and wraps; XLA saturates, so narrow types go through int64.
        return a.astype(jnp.int64).astype(d.np)
    return a.astype(d.np)


def _compute_in(target: dtype, arrays):
    """Cast operands; numbers meeting half precision stay float32 until the result is rounded, as in torch."""
    if target in _LOW and any(is_number(a) for a in arrays):
        wide = [cast(a, dtypes.float32) if is_number(a) else cast(a, target).astype(jnp.float32) for a in arrays]
        return wide, lambda r: _each(r, lambda x: x.astype(target.np) if x.dtype == jnp.float32 else x)
    return [cast(a, target) for a in arrays], None


def _each(result, f):
    return tuple(f(r) for r in result) if isinstance(result, tuple) else f(result)


def common(arrays):
    """All operands in their common dtype."""
    return _compute_in(result_dtype(arrays), arrays)


def rounded_once(*arrays, several=True):
    """Operands for a formula of several steps, and what finishes it: half precision is rounded once, as in torch."""
    low = dtypes.from_numpy(arrays[0].dtype)
    if low not in _LOW or not several:
        return arrays, lambda result: result
    return [a.astype(jnp.float32) for a in arrays], lambda result: result.astype(low.np)


def floating(arrays):
    """The common dtype, integers and bools becoming the default dtype."""
    target = result_dtype(arrays)
    if target.category < 2:
        target = dtypes.default_dtype()
    return _compute_in(target, arrays)


def compare(arrays):
    """The common dtype for operators whose result is bool."""
    return [cast(a, result_dtype(arrays)) for a in arrays], None


RULES = {"common": common, "float": floating, "compare": compare}


def result_type(*operands) -> dtype:
    """The dtype of an operation on these tensors and numbers.

    Example:
        >>> import rushlight as torch
        >>> torch.result_type(torch.tensor([1, 2]), 1.0)
        torch.float32
    """
    return result_dtype([_Described(x) for x in operands])


class _Described:
    def __init__(self, x):
        number = isinstance(x, (bool, int, float, complex))
        d = of_number(x) if number else x.dtype
        self.dtype, self.ndim, self.weak_type = d.np, 0 if number else x.dim(), number
