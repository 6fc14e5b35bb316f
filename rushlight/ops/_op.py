"""Owns the ``@op`` declaration: how a pure JAX function becomes an operator, with its arguments bound and checked.

May import running programs, the tensor cell and jax; knows no particular operator.
"""

from __future__ import annotations

import functools
import inspect
from types import CellType, FunctionType
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._errors import type_name
from .._graph.modes import state
from .._tensor.overriding import rescued
from .._tensor.program import Program
from .._tensor.tensor import Tensor
from . import _promotion
from ._execute import _PYTHON_NUMBERS, execute, in_place, view_of, write_out
from ._synonyms import as_method, renamed, table

# What the annotations of pure functions mean to a type checker.
Array = jax.Array
Number = float
TENSOR, OPTIONAL, LIST, NUMBER, STATIC = range(5)
_KINDS = {
    "Array": TENSOR,
    "Array | None": OPTIONAL,
    "list[Array]": LIST,
    "Number": NUMBER,
    "Number | None": NUMBER,
}
REGISTRY: dict[str, Op] = {}

# What stands in a program's key for an optional argument that was left out: which one it was matters.
_ABSENT = tuple(("absent", i) for i in range(64))


def hashable(value):
    """A static argument in a form that can be a key: lists and sizes become tuples."""
    if type(value) in (int, float, bool, str, type(None)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple([hashable(v) for v in value])
    if isinstance(value, Tensor):
        return value.item() if value.dim() == 0 else tuple(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tracer):
        # Whoever traces a number as an input learns that it must be a constant.
        raise jax.errors.ConcretizationTypeError(value, "This option of an operator must be a Python value.")
    return value.__class__(value) if hasattr(type(value), "__jax_array__") else value  # stands for a number


class Op:
    """A declared operator: the torch function. Call it with tensors, numbers and options.

    Attributes:
        fn: the pure JAX function it was declared from.
        numbers: which tensor parameters also take Python numbers; None for all.
        form: what gives a program that is compiled by itself a better form; None for the one it was written in.
    """

    numbers: frozenset | None = None
    form: Any = None

    def __init__(self, fn, name, *, promote, linear, view, differentiable, inverse, geometry, options):
        self.fn = fn
        self.name: str = name
        self.__name__ = self.__qualname__ = name
        self.__doc__ = fn.__doc__
        self.__module__ = fn.__module__
        self.__wrapped__ = fn
        self.promote, self.linear, self.view, self.differentiable = promote, linear, view, differentiable
        self.inverse, self.geometry, self.options = inverse, geometry, options
        self.params = list(inspect.signature(fn).parameters.values())
        self.names = [p.name for p in self.params]
        self.kinds = [_KINDS.get(str(p.annotation), STATIC) for p in self.params]
        self.positional = sum(p.kind is not p.KEYWORD_ONLY for p in self.params)
        self.defaults = [p.default for p in self.params]
        self.index = {n: i for i, n in enumerate(self.names)}
        self.programs: dict = {}
        dtypes.on_default_change(self.programs.clear)

    def __repr__(self) -> str:
        return f"<built-in function {self.name}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self):
        return _op_by_name, (self.name,)

    def bind(self, args, kwargs) -> list:
        """The arguments in order, defaults filled in.

        Raises:
            TypeError: too many, missing or unknown arguments.
        """
        given = len(args)
        if given > self.positional:
            if self.positional and self.kinds[self.positional - 1] == STATIC and all(type(a) is int for a in args[1:]):
                # x.permute(0, 2, 1) for x.permute((0, 2, 1)): a tuple spelled out.
                args = (*args[: self.positional - 1], tuple(args[self.positional - 1 :]))
                given = len(args)
            if given > self.positional:
                raise TypeError(
                    f"{self.name}() takes {self.positional} positional arguments but {len(args)} were given"
                )
        bound = list(args) + self.defaults[given:]
        for key, value in kwargs.items():
            i = self.index.get(key)
            if i is None:
                named = renamed(kwargs, self.synonyms)
                if key in named:
                    raise TypeError(f"{self.name}() got an unexpected keyword argument '{key}'")
                return self.bind(args, named)
            if i < given:
                raise TypeError(f"{self.name}() got multiple values for argument '{key}'")
            bound[i] = value
        for i, value in enumerate(bound):
            if value is inspect.Parameter.empty:
                raise TypeError(f'{self.name}() missing 1 required positional arguments: "{self.names[i]}"')
        return bound

    @functools.cached_property
    def synonyms(self) -> dict[str, str]:
        """Second names of its parameters, and what they stand for."""
        return table(self.name, self.names)

    def __call__(self, /, *args, out=None, **kwargs):
        try:
            bound = self.bind(args, kwargs) if kwargs or len(args) != len(self.params) else args
            if state.autocast is not None:
                bound = state.autocast.cast(self, bound)
            program, inputs = self.prepare(bound)
        except (TypeError, AttributeError):
            return rescued(self, args, kwargs if out is None else {**kwargs, "out": out})
        if self.view:
            return self._view(program, inputs)
        result = execute(program, inputs)
        return result if out is None else write_out(self.name, result, out)

    def prepare(self, bound):
        """The program for these arguments, and its dynamic inputs."""
        inputs, key = [], []
        for kind, absent, value in zip(self.kinds, _ABSENT, bound):
            if kind == STATIC:
                key.append(value if type(value) in (int, bool, float, str) else hashable(value))
            elif isinstance(value, Tensor):
                inputs.append(value)
            elif kind == LIST:
                value = self._check_list(value)
                inputs.extend(value)
                key.append(len(value))
            elif value is None and kind != TENSOR:
                key.append(absent)
            else:
                inputs.append(self._number(value, len(key) + len(inputs), kind, bound))
        key = tuple(key)
        program = self.programs.get(key)
        if program is None:
            try:
                program = self.programs.setdefault(key, self._program(bound))
            except TypeError as error:
                if "unhashable" in str(error):
                    raise TypeError(f"{self.name}(): {error}") from None
                raise
        return program, inputs

    def _number(self, value, position, kind, bound):
        allowed = self.numbers is None or kind == NUMBER or self.names[position] in self.numbers
        if allowed and type(value) in _PYTHON_NUMBERS:
            if position == 0 and self.numbers is not None and not any(isinstance(x, Tensor) for x in bound):
                given = ", ".join(type_name(x) for x in bound)
                raise TypeError(
                    f"{self.name}() received an invalid combination of arguments - got ({given}), but expected at "
                    "least one Tensor"
                )
            return value
        if isinstance(value, (np.generic, jax.Array)):
            return value.item() if isinstance(value, np.generic) else value
        if allowed and hasattr(type(value), "__jax_array__"):  # stands for a number
            return value.__jax_array__()
        expected = "Tensor" if kind != NUMBER else "Number"
        name = self.names[min(position, len(self.names) - 1)]
        raise TypeError(
            f"{self.name}(): argument '{name}' (position {position + 1}) must be {expected}, not {type_name(value)}"
        )

    def _check_list(self, value):
        if not isinstance(value, (list, tuple)):
            raise TypeError(
                f"{self.name}(): argument '{self.names[0]}' (position 1) must be tuple of Tensors, not "
                f"{type_name(value)}"
            )
        for i, item in enumerate(value):
            if not isinstance(item, Tensor):
                raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type_name(item)}")
        return value

    def _program(self, bound) -> Program:
        """Close the pure function over everything static."""
        plan = []
        for name, kind, value, p in zip(self.names, self.kinds, bound, self.params):
            if kind == STATIC:
                plan.append((name, None, hashable(value), p.kind is p.KEYWORD_ONLY))
            elif kind == LIST:
                plan.append((name, len(value), None, False))
            elif value is None:
                plan.append((name, None, None, p.kind is p.KEYWORD_ONLY))
            else:
                plan.append((name, -1, None, p.kind is p.KEYWORD_ONLY))
        fn, promote = self.fn, self.promote

        def flat(*arrays):
            if promote is not None:
                arrays, finish = _promotion.RULES[promote](arrays)
            else:
                finish = None
            supply = iter(arrays)
            args, kwargs = [], {}
            for name, count, value, keyword in plan:
                if count == -1:
                    value = next(supply)
                elif count is not None:
                    value = [next(supply) for _ in range(count)]
                if keyword:
                    kwargs[name] = value
                else:
                    args.append(value)
            result = fn(*args, **kwargs)
            return result if finish is None else finish(result)

        count = sum(
            n if n is not None and n > 0 else n == -1 for (_, n, _, _), k in zip(plan, self.kinds) if k != NUMBER
        )
        statics = {n: v for n, count, v, _ in plan if count is None}
        program = Program(
            flat,
            self.name,
            linear=count if self.linear else 0,
            differentiable=self.differentiable,
            options=self.options(**statics) if self.options else None,
            form=self.form,
        )
        if self.view:
            program.geometry = functools.partial(self.geometry, **statics) if self.geometry else None
            program.inverse = functools.partial(self.inverse, **statics) if self.inverse else None
        return program

    def _view(self, program, inputs):
        return view_of(inputs[0], program, inputs[1:])


def _op_by_name(name: str) -> Op:
    return REGISTRY[name]


def op(
    fn=None, *, name=None, method=True, inplace=False, promote=None, linear=False, view=False, differentiable=True,
    inverse=None, geometry=None, options=None, numbers=None,
) -> Any:  # fmt: skip
    """Declare an operator from a pure JAX function.

    Parameters annotated ``Array``, ``Array | None`` or ``list[Array]`` are tensors; ``Number`` is a dynamic number,
    which never causes a compilation; all others are static.

    Args:
        name: torch's name; default: the function's.
        method: attach it to Tensor (True, False, or another name).
        inplace: attach ``name_`` too.
        promote: a rule in ``_promotion.RULES`` (``"common"``, ``"float"``, ``"compare"``).
        linear: its derivative needs shapes only.
        view: the result shares the storage of the first argument.
        differentiable: False for results that carry no gradient.
        inverse: for a view, ``(array, value, **static) -> array`` that writes back.
        geometry: for a view, ``(shape, strides, offset, *dynamic, **static)`` giving the three for the result.
        options: from the static parameters, XLA's compiler options for the operator and its derivative, or None.
        numbers: which tensor parameters also take Python numbers; None for all.
    """
    if fn is None:
        return functools.partial(
            op, name=name, method=method, inplace=inplace, promote=promote, linear=linear, view=view,
            differentiable=differentiable, inverse=inverse, geometry=geometry, options=options, numbers=numbers,
        )  # fmt: skip
    made = Op(
        fn, name or fn.__name__, promote=promote, linear=linear, view=view, differentiable=differentiable,
        inverse=inverse, geometry=geometry, options=options,
    )  # fmt: skip
    made.numbers = None if numbers is None else frozenset(numbers)
    REGISTRY[made.name] = made
    if method:
        attach(method if isinstance(method, str) else made.name, made)
    if inplace:
        attach(made.name + "_", in_place_form(made))
    return made


def in_place_form(function, name=None):
    """The in-place method of an out-of-place function."""
    label = (name or function.__name__) + "_"
    function = as_method(label, function)

    def method(self, *args, **kwargs):
        self._check_in_place()
        try:
            return in_place(self, function(self, *args, **kwargs), label)
        except (TypeError, AttributeError):
            return rescued(getattr(Tensor, label, None), (self, *args), kwargs)

    method.__name__ = method.__qualname__ = label
    method.__doc__ = f"In-place form of ``{label[:-1]}``."
    return method


def attach(name: str, function) -> None:
    """Make ``function`` a method of Tensor."""
    if isinstance(function, Op):

        def method(self, *args, **kwargs):
            try:
                return function(self, *args, **kwargs)
            except (TypeError, AttributeError):
                return rescued(getattr(Tensor, name, None), (self, *args), kwargs)

        method.__name__ = method.__qualname__ = name
        method.__doc__ = function.__doc__
        method.__wrapped__ = function.fn
    else:
        method = copy_of(name, as_method(name, function))
    setattr(Tensor, name, method)


def copy_of(name: str, function):
    """A method of its own, as in torch: what takes calls over tells ``torch.split`` from ``Tensor.split``."""
    if type(function) is not FunctionType:
        return function
    code, own = function.__code__, CellType()
    closure = [
        own if free == "call" and cell.cell_contents is function else cell
        for free, cell in zip(code.co_freevars, function.__closure__ or ())
    ]
    out = FunctionType(code, function.__globals__, name, function.__defaults__, tuple(closure))
    own.cell_contents = out  # what adds second names knows itself
    out.__kwdefaults__, out.__annotations__, out.__doc__ = (
        function.__kwdefaults__, function.__annotations__, function.__doc__,
    )  # fmt: skip
    out.__dict__.update(function.__dict__)
    out.__module__, out.__qualname__ = Tensor.__module__, f"Tensor.{name}"
    return out


def method(name=None):
    """Declare a Python-level function of tensors as a method too (one that is built from operators)."""

    def deco(function):
        attach(name or function.__name__, function)
        return function

    return deco
