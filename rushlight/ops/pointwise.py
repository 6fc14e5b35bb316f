"""Owns elementwise arithmetic: the operators behind + - * / and their friends.

May import the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from .._tensor.tensor import Tensor
from ._op import Array, Number, attach, op


@op(promote="common", inplace=True, linear=True)
def add(input: Array, other: Array, *, alpha: Number | None = None):
    """``input + alpha * other``, broadcast and promoted."""
    return (input | other) if input.dtype == bool else input + other if alpha is None else input + alpha * other


@op(promote="common", inplace=True, linear=True)
def sub(input: Array, other: Array, *, alpha: Number | None = None):
    """``input - alpha * other``, broadcast and promoted."""
    return input - other if alpha is None else input - alpha * other


@op(promote="common", inplace=True)
def mul(input: Array, other: Array):
    """``input * other``, broadcast and promoted."""
    return input * other


def _reflected(operation):
    def method(self, other):
        return operation(other, self)

    return method


for _name, _function in {"add": add, "sub": sub, "mul": mul}.items():
    attach(f"__{_name}__", _function)
    attach(f"__r{_name}__", _reflected(_function))
    attach(f"__i{_name}__", getattr(Tensor, _name + "_"))

__all__ = [
    "add", "mul", "sub",
]  # fmt: skip
