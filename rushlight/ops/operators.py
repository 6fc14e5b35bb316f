"""Owns Python's operators on tensors: + - * / // % ** @ & | ^ ~ << >>, comparisons, ``in`` and iteration.

May import the operator families, the tensor cell and jax.
"""

from __future__ import annotations

import jax
import numpy as np

from .._tensor.overriding import start, takes_over
from .._tensor.tensor import Tensor
from . import compare, creation, join, pointwise, products, unary
from ._op import copy_of

_NUMBERS = (bool, int, float, complex, np.generic, jax.Array)  # the last: numbers that a program takes


def _foreign(other):
    """What to do with an operand that an operator refused: a numpy array joins as a tensor.

    Returns:
        Tensor, or None where Python should ask the other operand.
    """
    if isinstance(other, np.ndarray):
        return creation.from_numpy(other)
    return None


def _refused(name, self, other):
    """The answer to an operand that is no tensor: that of its class, where this is the first seen to take over."""
    return getattr(Tensor, name)(self, other) if takes_over(type(other)) and start() else NotImplemented


def _forward(name, function):
    def method(self, other):
        try:
            return function(self, other)
        except TypeError:
            if isinstance(other, (Tensor, *_NUMBERS)):
                raise
            operand, other = other, _foreign(other)
            return _refused(name, self, operand) if other is None else function(self, other)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The operator behind ``{name}``."
    setattr(Tensor, name, method)


def _reflected(name, function):
    def method(self, other):
        if not isinstance(other, (Tensor, *_NUMBERS)):
            operand, other = other, _foreign(other)
            if other is None:
                return _refused(name, self, operand)
        return function(other, self)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The operator behind ``{name}``."
    setattr(Tensor, name, method)


def _in_place(name, function):
    def method(self, other):
        if not isinstance(other, (Tensor, *_NUMBERS)):
            operand, other = other, _foreign(other)
            if other is None:
                return _refused(name, self, operand)
        return function(self, other)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The operator behind ``{name}``."
    setattr(Tensor, name, method)


_ARITHMETIC = {
    "add": pointwise.add, "sub": pointwise.sub, "mul": pointwise.mul, "truediv": pointwise.true_divide,
    "floordiv": pointwise.floor_divide, "mod": pointwise.remainder, "pow": pointwise.pow,
    "and": compare.bitwise_and, "or": compare.bitwise_or, "xor": compare.bitwise_xor,
    "lshift": compare.bitwise_left_shift, "rshift": compare.bitwise_right_shift,
}  # fmt: skip
_IN_PLACE = {
    "truediv": "div_", "floordiv": "floor_divide_", "mod": "remainder_", "and": "bitwise_and_", "or": "bitwise_or_",
    "xor": "bitwise_xor_", "lshift": "bitwise_left_shift_", "rshift": "bitwise_right_shift_",
}  # fmt: skip
for _name, _function in _ARITHMETIC.items():
    _forward(f"__{_name}__", _function)
    _reflected(f"__r{_name}__", _function)
    _in_place(f"__i{_name}__", getattr(Tensor, _IN_PLACE.get(_name, _name + "_")))
_forward("__matmul__", products.matmul)
_reflected("__rmatmul__", products.matmul)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _forward(f"__{_name}__", getattr(compare, _name))


def _contains(self, element) -> bool:
    """Whether any element equals ``element``.

    Raises:
        RuntimeError: ``element`` is neither a tensor nor a number.
    """
    if not isinstance(element, (Tensor, *_NUMBERS)):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a " + f"{type(element)}."
        )
    return bool(compare.eq(self, element)._array().any())


def _iterate(self):
    """The slices along the first dimension, one after another.

    Raises:
        TypeError: the tensor has no dimensions.
    """
    if self.dim() == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(join.unbind(self, 0))


def _reversed(self):
    return self if self.dim() == 0 else join.flip(self, 0)


for _name, _alias in {"__truediv__": "__div__", "__rtruediv__": "__rdiv__", "__itruediv__": "__idiv__",
                      "__int__": "__long__", "__bool__": "__nonzero__"}.items():  # fmt: skip
    setattr(Tensor, _alias, copy_of(_alias, getattr(Tensor, _name)))
# Setting __eq__ after the class was made keeps its hash, but a subclass body that defines __eq__ would lose it.
for _name, _function in {
    "__contains__": _contains, "__iter__": _iterate, "__reversed__": _reversed, "__neg__": lambda self: unary.neg(self),
    "__pos__": lambda self: unary.positive(self), "__abs__": lambda self: unary.abs(self),
    "__invert__": lambda self: compare.bitwise_not(self),
}.items():  # fmt: skip
    setattr(Tensor, _name, copy_of(_name, _function))

__all__: list = []
