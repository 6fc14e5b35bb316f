"""Owns counting the work of a traced program: multiply-adds and floating point operations, per scope.

May import jax and the standard library.

What is counted: a matrix product or convolution is its multiply-adds, and twice as many operations; arithmetic on
floating point numbers is one operation for each element of the result, whatever the function; a reduction is one for
each element that goes in. Moving, comparing and converting numbers, and all arithmetic on integers, count as nothing.
The body of a scan counts for every step, a conditional as its dearest branch, a while loop once (its length is not
known). What a jitted part computes and does not use is not counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

SCOPE = "rushlight:"
_SCOPE = re.compile(re.escape(SCOPE) + r"(\d+)")


@dataclass
class Work:
    """What a program, or a part of it, does.

    Attributes:
        macs: multiply-adds of products and convolutions.
        flops: floating point operations of everything.
    """

    macs: int = 0
    flops: int = 0

    def add(self, macs: int, flops: int) -> None:
        """Take more work in."""
        self.macs += macs
        self.flops += flops


@dataclass
class Count:
    """The work of a program.

    Attributes:
        scopes: the work under each numbered scope, without what is under a scope inside it; -1 is outside all.
        loops: how many loops of unknown length were counted once.
    """

    scopes: dict[int, Work] = field(default_factory=dict)
    loops: int = 0

    @property
    def total(self) -> Work:
        """All work together."""
        return Work(sum(w.macs for w in self.scopes.values()), sum(w.flops for w in self.scopes.values()))


def count(jaxpr: Any) -> Count:
    """The work of a jaxpr (open or closed).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> count(jax.make_jaxpr(lambda a, b: a @ b + 1)(jnp.ones((2, 3)), jnp.ones((3, 4)))).total
        Work(macs=24, flops=56)
    """
    made = Count()
    _walk(getattr(jaxpr, "jaxpr", jaxpr), 1, -1, made)
    return made


def _walk(jaxpr: Any, times: int, scope: int, made: Count) -> None:
    for eqn in jaxpr.eqns:
        found = _SCOPE.findall(str(eqn.source_info.name_stack))
        here = int(found[-1]) if found else scope
        name = eqn.primitive.name
        inner = list(_inner(eqn.params))
        if name == "cond":
            branches = []
            for branch in inner:
                one = Count()
                _walk(branch, times, here, one)
                branches.append(one)
            dearest = max(branches, key=lambda one: one.total.flops)
            for key, work in dearest.scopes.items():
                made.scopes.setdefault(key, Work()).add(work.macs, work.flops)
            made.loops += dearest.loops
        elif inner and name not in _LEAVES:
            repeats = int(eqn.params["length"]) if name == "scan" else 1
            made.loops += name == "while"
            for part in inner:
                # The derivative of a program holds the program itself, of which it may need little.
                part = dce_jaxpr(part, [True] * len(part.outvars))[0] if name in _CALLS else part
                _walk(part, times * repeats, here, made)
        else:
            macs, flops = _cost(eqn)
            if macs or flops:
                made.scopes.setdefault(here, Work()).add(macs * times, flops * times)


def _inner(params: dict) -> Iterator[Any]:
    """The programs inside an equation."""
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def _size(var: Any) -> int:
    return math.prod(var.aval.shape)


def _floating(var: Any) -> bool:
    return jnp.issubdtype(var.aval.dtype, jnp.inexact)


def _cost(eqn: Any) -> tuple[int, int]:
    name = eqn.primitive.name
    rule = _RULES.get(name)
    if rule is not None:
        macs, flops = rule(eqn)
        if macs and jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.complexfloating):
            macs, flops = 4 * macs, 4 * flops
        return macs, flops
    if name in _ELEMENTWISE and _floating(eqn.outvars[0]):
        return 0, _size(eqn.outvars[0])
    if name in _REDUCTIONS and _floating(eqn.invars[0]):
        return 0, _size(eqn.invars[0])
    return 0, 0


def _dot(eqn: Any) -> tuple[int, int]:
    (contract, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    macs = _size(eqn.outvars[0]) * math.prod(shape[i] for i in contract)
    return macs, 2 * macs


def _convolution(eqn: Any) -> tuple[int, int]:
    numbers = eqn.params["dimension_numbers"]
    data, kernel = (var.aval.shape for var in eqn.invars[:2])
    out_channels, per_group, *window = (kernel[i] for i in numbers.rhs_spec)
    if math.prod(eqn.params["lhs_dilation"]) > 1:
        # A transposed convolution: each element that goes in meets the whole kernel; the zeros between are no work.
        macs = math.prod(data) * math.prod(window) * out_channels // eqn.params["feature_group_count"]
    else:
        macs = _size(eqn.outvars[0]) * math.prod(window) * per_group // eqn.params["batch_group_count"]
    return macs, 2 * macs


def _ragged_dot(eqn: Any) -> tuple[int, int]:
    macs = _size(eqn.outvars[0]) * eqn.invars[0].aval.shape[-1]
    return macs, 2 * macs


def _window(eqn: Any) -> tuple[int, int]:
    return 0, _size(eqn.outvars[0]) * math.prod(eqn.params["window_dimensions"])


def _fft(eqn: Any) -> tuple[int, int]:
    points = math.prod(eqn.params["fft_lengths"])
    return 0, int(5 * max(_size(v) for v in (*eqn.invars, *eqn.outvars)) * math.log2(max(points, 2)))


def _matrix(cost: Callable[[int, int], float]) -> Callable[[Any], tuple[int, int]]:
    """The work on each matrix of a batch, from its two sizes."""

    def rule(eqn: Any) -> tuple[int, int]:
        shape = eqn.invars[0].aval.shape
        return 0, int(math.prod(shape[:-2]) * cost(shape[-2], shape[-1]))

    return rule


def _triangular(eqn: Any) -> tuple[int, int]:
    size = eqn.invars[0].aval.shape[-1]
    return 0, size * _size(eqn.outvars[0])


def _updates(eqn: Any) -> tuple[int, int]:
    return 0, _size(eqn.invars[-1]) if _floating(eqn.outvars[0]) else 0


_RULES: dict[str, Callable[[Any], tuple[int, int]]] = {
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "ragged_dot": _ragged_dot,
    "ragged_dot_general": _ragged_dot,
    "reduce_window": _window,
    "reduce_window_sum": _window,
    "reduce_window_max": _window,
    "reduce_window_min": _window,
    "fft": _fft,
    "cholesky": _matrix(lambda m, n: n**3 / 3),
    "lu": _matrix(lambda m, n: m * n * min(m, n) - min(m, n) ** 3 / 3),
    "geqrf": _matrix(lambda m, n: 2 * m * n * min(m, n)),
    "eigh": _matrix(lambda m, n: 9 * n**3),
    "eig": _matrix(lambda m, n: 25 * n**3),
    "svd": _matrix(lambda m, n: 4 * m * n * min(m, n) + 8 * min(m, n) ** 3),
    "triangular_solve": _triangular,
    "scatter-add": _updates,
    "scatter_add": _updates,
    "scatter-mul": _updates,
    "scatter_mul": _updates,
    "select_and_scatter_add": lambda eqn: (0, _size(eqn.outvars[0])),
}  # fmt: skip
_LEAVES = frozenset(_RULES) | {"reduce", "scatter", "scatter-min", "scatter-max", "scatter_min", "scatter_max", "sort"}
_CALLS = frozenset(("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint"))
_ARITHMETIC = """
    add sub mul div rem neg abs max min pow integer_pow square sqrt rsqrt cbrt exp exp2 expm1 log log1p log2 sin cos tan
    asin acos atan atan2 sinh cosh tanh asinh acosh atanh logistic erf erfc erf_inv lgamma digamma igamma igammac
    polygamma zeta bessel_i0e bessel_i1e regularized_incomplete_beta add_any nextafter conj complex clamp
"""
_SUMS = "reduce_sum reduce_max reduce_min reduce_prod argmax argmin cumsum cumprod cummax cummin cumlogsumexp reduce"
_ELEMENTWISE, _REDUCTIONS = frozenset(_ARITHMETIC.split()), frozenset(_SUMS.split())
