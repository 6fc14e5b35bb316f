"""Owns ``torch._foreach_*``: an ordinary operator applied to every tensor of a list, as optimizers of others call it.

May import the operators it repeats and the tensor cell.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from .._errors import type_name, wrong_type
from .._tensor.tensor import Tensor
from . import convert, norms, pointwise, products, reduce, unary
from ._execute import scalar_name
from ._op import in_place_form

_NUMBERS = (builtins.bool, int, float, complex)

# -- what is given ---------------------------------------------------------------------------------------------------


def _tensors(name: str, argument: str, position: int, given: Any) -> list[Tensor] | tuple[Tensor, ...]:
    """``given``, checked to be a list of tensors."""
    if not isinstance(given, list | tuple):
        raise wrong_type(name, argument, position, "tuple of Tensors", given)
    for i, item in enumerate(given):
        if not isinstance(item, Tensor):
            got = type_name(item)
            raise TypeError(f"expected Tensor as element {i} in argument {position - 1}, but got {got}")
    return given


def _first(name: str, given: Any) -> list[Tensor] | tuple[Tensor, ...]:
    """The list that decides how many results there are: it may not be empty."""
    tensors = _tensors(name, "self", 1, given)
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return tensors


def _like(name: str, argument: str, position: int, given: Any, count: int) -> list[Tensor] | tuple[Tensor, ...]:
    """A further list of tensors, as long as the first."""
    tensors = _tensors(name, argument, position, given)
    if len(tensors) != count:
        raise RuntimeError(f"Tensor lists must have the same number of tensors, got {count} and {len(tensors)}")
    return tensors


def _each(name: str, position: int, given: Any, count: int, packed: builtins.bool = False) -> Any:
    """One operand for each tensor: from a number or a tensor of no dimension, a list of numbers or one of tensors.

    Args:
        packed: a tensor holds a number for each instead of one for all.
    """
    if isinstance(given, Tensor):
        if packed:
            return _unpacked(given, count)
        if given.dim():
            raise RuntimeError(
                f"scalar tensor expected to be 0 dim but it has {given.dim()} dimensions and {given.numel()} elements."
            )
        return [given] * count
    if isinstance(given, _NUMBERS):
        return [given] * count
    if isinstance(given, list | tuple):
        if any(isinstance(item, Tensor) for item in given):
            return _like(name, "other", position, given, count)
        if all(isinstance(item, _NUMBERS) for item in given):
            if len(given) != count:
                if not given:
                    return _like(name, "other", position, given, count)
                raise RuntimeError(
                    f"Tensor list must have same number of elements as scalar list. Received {count} tensors and "
                    f"{len(given)} numbers."
                )
            return given
    raise TypeError(
        f"{name}() received an invalid combination of arguments - got {type_name(given)} as argument {position}, but "
        "expected a number, a Tensor of no dimension, a list of numbers or a list of Tensors"
    )


def _unpacked(scalars: Tensor, count: int) -> list:
    if scalars.dim() != 1:
        raise RuntimeError(f"Expected packed scalar Tensor to be of dimension 1. Got {scalars.dim()} instead.")
    if not scalars.is_contiguous():
        raise RuntimeError("Expected scalars to be contiguous.")
    if len(scalars) != count:
        raise RuntimeError(
            f"Expected length of scalars to match input of length {count} but got {len(scalars)} instead."
        )
    return scalars.detach().tolist()


def _one_of(name: str, position: int, by_name: dict[str, Any], given: Any, default: Any = None) -> Any:
    """The operand however its overload calls it: in order, or by one of several names."""
    values = [value for value in (given, *by_name.values()) if value is not None]
    if len(values) > 1 or (not values and default is None):
        raise TypeError(
            f"{name}() received an invalid combination of arguments - expected one of {', '.join(by_name)} as argument "
            f"{position}, received {len(values)}"
        )
    return values[0] if values else default


# -- the families ----------------------------------------------------------------------------------------------------


def _both(name: str, function: Callable, make: Callable) -> None:
    """Define ``_foreach_name`` and ``_foreach_name_`` by what ``make`` builds from an operator and a label."""
    # maximum and minimum have no method in place of their own.
    within = getattr(Tensor, name + "_", None) or in_place_form(function, name)
    _define("_foreach_" + name, make, function, f"``torch.{name}`` of every tensor of a list.")
    doc = f"``torch.{name}`` of every tensor of a list, in place; gives the list."
    _define(f"_foreach_{name}_", make, within, doc, in_place=True)


def _define(label: str, make: Callable, function: Callable, doc: str, in_place: builtins.bool = False) -> None:
    apply = make(label, function)

    def foreach(self, *args, **kwargs):
        # Operands are all checked before anything is written: a list too short changes nothing.
        calls = apply(_first(label, self), *args, **kwargs)
        made = [function(*operands, **options) for operands, options in calls]
        return self if in_place else tuple(made)

    foreach.__name__ = foreach.__qualname__ = label
    foreach.__doc__ = doc
    globals()[label] = foreach
    __all__.append(label)


def _unary(label, function):
    def operands(tensors):
        return [((x,), {}) for x in tensors]

    return operands


def _binary(label, function):
    def operands(tensors, other=None, *, scalar=None, scalars=None, exponent=None):
        names = {"other": None, "scalar": scalar, "scalars": scalars, "exponent": exponent}
        each = _each(label, 2, _one_of(label, 2, names, other), len(tensors))
        return [((x, y), {}) for x, y in zip(tensors, each, strict=True)]

    return operands


def _sum(label, function):
    plain = _binary(label, function)

    def operands(tensors, other=None, *, scalar=None, scalars=None, alpha=None):
        rows = plain(tensors, other, scalar=scalar, scalars=scalars)
        if alpha is None:
            return rows
        if not all(isinstance(row[0][1], Tensor) for row in rows):
            raise TypeError(
                f"{label}() received an invalid combination of arguments - alpha goes with a Tensor or a list of "
                "Tensors, received numbers; multiply the numbers by it"
            )
        return [(pair, {"alpha": alpha}) for pair, _ in rows]

    return operands


def _product(label, function):
    def operands(tensors, tensor1, tensor2, value=None, *, scalars=None):
        first = _like(label, "tensor1", 2, tensor1, len(tensors))
        second = _like(label, "tensor2", 3, tensor2, len(tensors))
        given = _one_of(label, 4, {"value": None, "scalars": scalars}, value, default=1)
        each = _each(label, 4, given, len(tensors), packed=True)
        rows = zip(tensors, first, second, each, strict=True)
        return [((x, y, z), {"value": number}) for x, y, z, number in rows]

    return operands


def _between(label, function):
    def operands(tensors, tensors1, weight=None, *, weights=None):
        ends = _like(label, "tensors1", 2, tensors1, len(tensors))
        each = _each(label, 3, _one_of(label, 3, {"weight": None, "weights": weights}, weight), len(tensors))
        return [(row, {}) for row in zip(tensors, ends, each, strict=True)]

    return operands


def _or_number(of_tensors, of_number):
    # Of numbers they are clamp: the dtype then follows the number's kind.
    def function(x, other):
        return (of_tensors if isinstance(other, Tensor) else of_number)(x, other)

    return function


_UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "frac", "lgamma",
    "log", "log10", "log1p", "log2", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt",
    "tan", "tanh", "trunc",
)  # fmt: skip
_maximum = _or_number(pointwise.maximum, pointwise.clamp_min)
_minimum = _or_number(pointwise.minimum, pointwise.clamp_max)
_TABLE = (
    *((name, getattr(unary, name), _unary) for name in _UNARY),
    ("add", pointwise.add, _sum),
    ("sub", pointwise.sub, _sum),
    ("mul", pointwise.mul, _binary),
    ("div", pointwise.div, _binary),
    ("maximum", _maximum, _binary),
    ("minimum", _minimum, _binary),
    ("clamp_min", _maximum, _binary),
    ("clamp_max", _minimum, _binary),
    ("addcmul", pointwise.addcmul, _product),
    ("addcdiv", pointwise.addcdiv, _product),
    ("lerp", pointwise.lerp, _between),
)
__all__: list[str] = []
for _row in _TABLE:
    _both(*_row)

# -- those of their own shape ----------------------------------------------------------------------------------------


def _foreach_pow(self, exponent):
    """``torch.pow`` of every tensor of a list; or of one number to every tensor of a list of exponents."""
    name = "_foreach_pow"
    if isinstance(self, _NUMBERS):
        return tuple(pointwise.pow(self, x) for x in _first(name, exponent))
    tensors = _first(name, self)
    each = _each(name, 2, exponent, len(tensors))
    return tuple(pointwise.pow(x, y) for x, y in zip(tensors, each, strict=True))


_define(
    "_foreach_pow_", _binary, Tensor.pow_, "``torch.pow`` of every tensor of a list, in place; gives the list.", True
)


def _foreach_clone(self, *, memory_format=None):
    """A copy of every tensor of a list."""
    options = {} if memory_format is None else {"memory_format": memory_format}
    return tuple(convert.clone(x, **options) for x in _first("_foreach_clone", self))


def _foreach_copy_(self, src, non_blocking=False):
    """Copy every tensor of ``src`` into the one at its place; gives the list."""
    tensors = _first("_foreach_copy_", self)
    for x, source in zip(tensors, _like("_foreach_copy_", "src", 2, src, len(tensors)), strict=True):
        x.copy_(source, non_blocking)
    return self


def _foreach_zero_(self):
    """Fill every tensor of a list with zeros; gives the list."""
    for x in _first("_foreach_zero_", self):
        x.zero_()
    return self


def _number(name: str, ord: Any) -> float:
    if isinstance(ord, Tensor) and not ord.dim():
        ord = ord.item()
    if not isinstance(ord, _NUMBERS):
        raise wrong_type(name, "ord", 2, "Number", ord)
    return ord  # pyright: ignore[reportReturnType]


def _foreach_norm(self, ord=2, dtype=None):
    """The ``ord``-norm of all elements of every tensor of a list."""
    tensors, ord = _first("_foreach_norm", self), _number("_foreach_norm", ord)
    return tuple(norms.vector_norm(x, ord, dtype=dtype) for x in tensors)


def _foreach_powsum(self, ord=2, dtype=None):
    """The sum of the ``ord``-th powers of the sizes of all elements, of every tensor of a list."""
    tensors, ord = _first("_foreach_powsum", self), _number("_foreach_powsum", ord)
    for x in tensors:
        if not (x.is_floating_point() or x.is_complex()):
            raise NotImplementedError(f'"powsum_cpu" not implemented for {scalar_name(x.dtype)!r}')
    made = (x if dtype is None else x.to(dtype) for x in tensors)
    return tuple(reduce.sum(pointwise.pow(unary.abs(x), ord)) for x in made)


def _foreach_max(self):
    """The largest element of every tensor of a list."""
    tensors = _first("_foreach_max", self)
    if any(not x.numel() for x in tensors):
        raise RuntimeError(
            "_foreach_max cannot compute the maximum of an empty tensor; max over zero elements is undefined."
        )
    return tuple(reduce.max(x) for x in tensors)


def _foreach_mm(self, mat2):
    """The product of the matrices at the same place of two lists."""
    left, right = _tensors("_foreach_mm", "self", 1, self), _tensors("_foreach_mm", "mat2", 2, mat2)
    if not left:
        raise RuntimeError("_foreach_mm requires non-empty tensor lists")
    if len(left) != len(right):
        raise RuntimeError("_foreach_mm: self and mat2 must have the same number of tensors")
    return tuple(products.mm(x, y) for x, y in zip(left, right, strict=True))


# -- grouping --------------------------------------------------------------------------------------------------------


def group_tensors_by_device_and_dtype(tensorlistlist: list, with_indices: builtins.bool = False) -> dict:
    """Lists of the same length cut into pieces whose tensors of the first list share device and dtype.

    Args:
        tensorlistlist: lists of tensors; those after the first may hold None or be empty.
        with_indices: give the places of the tensors too; otherwise an empty list.

    Returns:
        dict: ``(device, dtype)`` to a pair of the lists, cut, and the places.

    Raises:
        RuntimeError: no lists, an empty first list, None in it, or lists of different length.
    """
    if not tensorlistlist or not tensorlistlist[0]:
        raise RuntimeError("Expected a first list with at least one Tensor to group by, received none.")
    first = tensorlistlist[0]
    lengths = [len(tensors) for tensors in tensorlistlist]
    if any(length not in (0, len(first)) for length in lengths):
        raise RuntimeError(f"Expected lists of the same length to group, received lengths {lengths}.")
    places: dict[Any, list[int]] = {}
    for i, x in enumerate(first):
        if x is None:
            raise RuntimeError(
                f"Tensors of the first list of nested Tensor lists are supposed to be defined but the {i}-th Tensor is "
                "not."
            )
        places.setdefault((x.device, x.dtype), []).append(i)
    return {
        key: ([[tensors[i] for i in chosen] if tensors else [] for tensors in tensorlistlist],
              chosen if with_indices else [])
        for key, chosen in places.items()
    }  # fmt: skip


__all__ += [
    "_foreach_clone", "_foreach_copy_", "_foreach_max", "_foreach_mm", "_foreach_norm", "_foreach_pow",
    "_foreach_powsum", "_foreach_zero_",
]  # fmt: skip
