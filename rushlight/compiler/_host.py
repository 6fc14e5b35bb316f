"""Owns numbers that Python computes anew on every call, while the program around them stays the same.

May import jax and where numbers are read from. What is made of such a number is one too; where Python decides by it (an
``if``, an index, a key), the outcome is noted, and a program is used as long as all its outcomes come out again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import get_opaque_trace_state

from ._contents import same
from ._numbers import is_number, put

_LONGEST = 256  # cells of one formula; longer ones are constants
_KINDS = (bool, int, float)
_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "and_": "&",
    "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
    "ne": "!=",
}  # fmt: skip


class HostNumber:
    """A number in a function that is traced: it has the value of this call, and knows how to get that of others.

    Args:
        now: its value in the call that is traced; of a number that comes later, one of its type.
        trace: the outermost trace.
        place: where it is read from; None for a result.
        function: what it is a result of.
        args: the operands, numbers of either kind.
        array: what the program computes it as, where it comes later: ``item()`` of a tensor, and what is made of that.
    """

    __slots__ = ("args", "array", "at", "function", "now", "place", "size", "trace")

    def __init__(self, now, trace, place=None, function: Any = None, args: tuple = (), array=None):
        self.now, self.trace, self.place, self.function, self.args = now, trace, place, function, args
        self.array, self.at = array, -1
        self.size = 1 + sum(a.size for a in args if type(a) is HostNumber)

    __class__ = property(lambda self: type(self.now))  # type: ignore[assignment]

    def fixed(self):
        """Its value as a constant of the program, which holds for this value alone."""
        self._needed_now()
        self.trace.decide(self, self.now, True)
        return self.now

    def __bool__(self):
        self._needed_now()
        self.trace.decide(self, bool(self.now), False)
        return bool(self.now)

    def _needed_now(self) -> None:
        """Python asks for the value: one that comes later is not there yet, and JAX says so."""
        if self.array is not None:
            np.asarray(self.array)

    def __jax_array__(self):
        """The input of the program that it becomes where a tensor meets it."""
        self._needed_now()
        if type(self.now) is bool or (type(self.now) is int and not -(2**31) <= self.now < 2**31):
            return jnp.asarray(self.fixed())
        return self.trace.feed(self)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.fixed(), dtype)

    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return getattr(self.fixed(), name)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce_ex__(self, protocol):
        return type(self.now), (self.fixed(),)

    def text(self) -> str:
        """How it came about, for a message."""
        if self.place is None and self.function is None:
            return "item()"
        if self.place is not None:
            return f"argument{self.place.name}" if self.place.key[0] == "argument" else f"'{self.place.name}'"
        parts = [a.text() if type(a) is HostNumber else repr(a) for a in self.args]
        name = getattr(self.function, "__name__", "?")
        if len(parts) == 2 and name in _SYMBOLS:
            parts = [f"({p})" if " " in p else p for p in parts]
            return f"{parts[0]} {_SYMBOLS[name]} {parts[1]}"
        return f"{name}({', '.join(parts)})"


def of_numbers(function, *args):
    """``function`` of numbers, of which one or more are computed anew on every call."""
    held = [a for a in args if type(a) is HostNumber]
    array = next((a.array for a in held if a.array is not None), None)
    try:
        now = function(*[a.now if type(a) is HostNumber else a for a in args])
    except (ArithmeticError, ValueError):
        if array is not None:  # it is not the numbers of this call that do not go together
            np.asarray(array)
        raise
    if array is not None and type(now) in _KINDS:
        now = type(now)(1)
    if type(now) not in _KINDS or sum(a.size for a in held) >= _LONGEST:
        for a in held:
            a.fixed()
        return now
    return HostNumber(now, held[0].trace, function=function, args=args, array=array)


def of_array(array, trace):
    """What ``item()`` of a traced array gives: a number that is there when the program has run.

    Raises:
        jax.errors.TracerArrayConversionError: the array is not one of the function itself, or is complex.
    """
    kinds = ((np.bool_, bool), (jnp.integer, int), (jnp.floating, float))
    kind = next((k for of, k in kinds if jnp.issubdtype(array.dtype, of)), None)
    if kind is None or trace.outer is not None or get_opaque_trace_state(convention="nnx") != trace.level:
        np.asarray(array)
    return HostNumber(kind(1), trace, array=array)  # type: ignore[misc]


def _joins(value) -> bool:
    return type(value) in _KINDS or type(value) is HostNumber


def _add_operators() -> None:
    def binary(function):
        def forward(self, other):
            return of_numbers(function, self, other) if _joins(other) else NotImplemented

        def reflected(self, other):
            return of_numbers(function, other, self) if _joins(other) else NotImplemented

        return forward, reflected

    for name in _SYMBOLS:
        forward, reflected = binary(getattr(operator, name))
        setattr(HostNumber, f"__{name.strip('_')}__", forward)
        if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(HostNumber, f"__r{name.strip('_')}__", reflected)
    for name in ("divmod", "pow"):
        plain = HostNumber.__pow__ if name == "pow" else None  # type: ignore[attr-defined]

        def by(self, other, *modulus, plain=plain):
            if plain is not None and not modulus:
                return plain(self, other)
            if not _joins(other):
                return NotImplemented
            if plain is None:
                return self // other, self % other
            return pow(self.fixed(), other, *modulus)

        setattr(HostNumber, f"__{name}__", by)
    HostNumber.__rdivmod__ = lambda self, other: (other // self, other % self)  # type: ignore[attr-defined]
    unary = (operator.neg, operator.pos, operator.abs, operator.invert, math.floor, math.ceil, math.trunc)
    for function in unary:
        setattr(HostNumber, f"__{function.__name__}__", lambda self, f=function: of_numbers(f, self))
    HostNumber.__round__ = lambda self, *digits: of_numbers(round, self, *digits)  # type: ignore[attr-defined]
    for kind in (int, float, complex):
        setattr(HostNumber, f"__{kind.__name__}__", lambda self, kind=kind: kind(self.fixed()))
    for function in (operator.index, hash, repr, str, format):
        setattr(HostNumber, f"__{function.__name__}__", lambda self, *more, f=function: f(self.fixed(), *more))


_add_operators()


class Spare:
    """An input of a program for a number of which it turns out during the trace that tensors meet it.

    Args:
        kind: of which type it is to be.
        n: how many there are before it.
    """

    def __init__(self, kind, n: int):
        self.kind = kind
        self.key = "spare", kind, n
        self.taken: HostNumber | None = None

    def get(self, leaves):
        """A value for the trace."""
        return self.kind(0)


class Assigned:
    """A place that every call gives a value that is known to Python, before the program runs or after it.

    Args:
        home: a dict, cell, module or object.
        name: the name in it.
        value: a number that is computed on every call, or a constant.
    """

    def __init__(self, home, name, value):
        self.home, self.name, self.value = home, name, value

    def __call__(self, values: dict) -> None:
        """Give it its value; ``values`` are those of this call by the id of their number."""
        value = self.value
        put(self.home, self.name, values[id(value)] if type(value) is HostNumber else value)


class Sheet:
    """The formulas of a program's numbers, each of which is computed once for a call, and what was decided by them.

    Args:
        decisions: ``(number, outcome, exact)`` for what Python decided by a number: by its truth, or by its value.
        fed: ``(number, type)`` for those that are inputs of the program.
        others: more numbers that a call needs.
    """

    def __init__(self, decisions, fed, others):
        self.decisions, self.fed = list(decisions), list(fed)
        self._cells: dict = {}
        for number in (*(d[0] for d in self.decisions), *(number for number, _ in self.fed), *others):
            self._add(number)
        cells = list(self._cells.values())
        self._order = [c for c in cells if c.array is None]
        self._later = [c for c in cells if c.array is not None]
        self.taken = [c for c in self._later if c.function is None]
        for c in cells:
            c.trace = c.array = None  # they hold on to the first call

    def __bool__(self) -> bool:
        return bool(self._cells)

    def _add(self, number) -> None:
        if id(number) not in self._cells:
            for a in number.args:
                if type(a) is HostNumber:
                    self._add(a)
            self._cells[id(number)] = number

    def compute(self, leaves) -> dict:
        """The values for a call, by the id of their number."""
        values: dict = {}
        for cell in self._order:
            values[id(cell)] = cell.place.get(leaves) if cell.place is not None else _result(cell, values)
        return values

    def finish(self, values: dict, outs, places) -> None:
        """Add the values of numbers that come later, from what the program gave."""
        for cell in self._later:
            if cell.function is None:
                host = np.asarray(outs[places[cell.at]]).reshape(())
                values[id(cell)] = type(cell.now)(host)
            else:
                values[id(cell)] = _result(cell, values)

    def fails(self, values) -> Any:
        """What comes out differently with the values of a call, as a tuple that ``explain`` can phrase; or None."""
        for number, outcome, exact in self.decisions:
            now = values[id(number)]
            if not (same(now, outcome) if exact else bool(now) is outcome):
                if exact and number.place is not None:
                    return number.place.reason(outcome, now)
                return "outcome", number.text(), outcome, now if exact else bool(now)
        for number, kind in self.fed:
            if type(values[id(number)]) is not kind:
                return "kind", number.text(), kind
        return None


def _result(cell, values: dict):
    return cell.function(*[values[id(a)] if type(a) is HostNumber else a for a in cell.args])


def later(numbers) -> list:
    """The numbers among these, and among what they are made of, that the program itself has to give."""
    found: dict = {}
    stack = list(numbers)
    while stack:
        number = stack.pop()
        if type(number) is HostNumber and number.array is not None:
            if number.function is None:
                found[id(number)] = number
            stack += number.args
    return list(found.values())


def plain(value):
    """A value without numbers that are computed on every call: constants in their place."""
    if type(value) is HostNumber:
        return value.fixed()
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    return value


def written(value) -> bool:
    """Whether a place outside may be given this value on every call as a number."""
    return type(value) is HostNumber or is_number(value)


@contextmanager
def mathematics() -> Iterator[None]:
    """Let the functions of ``math`` take such numbers, for the length of a block."""
    kept = {
        name: value for name, value in vars(math).items()
        if type(value) is type(math.sin) and name not in ("floor", "ceil", "trunc")
    }  # fmt: skip

    def watching(function):
        def call(*args, **kwargs):
            if any(type(a) is HostNumber for a in args) and not kwargs:
                return of_numbers(function, *args)
            return function(*args, **kwargs)

        return call

    try:
        for name, function in kept.items():
            setattr(math, name, watching(function))
        yield
    finally:
        for name, function in kept.items():
            setattr(math, name, function)
