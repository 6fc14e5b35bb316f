"""Owns the one door that every operator goes through: unwrap, run, record, wrap; and the ``@op`` declaration.

May import the tensor cell, the tape and jax; knows no particular operator.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import _device as devices
from .. import dtypes
from .._errors import type_name
from .._graph.engine import Values
from .._graph.modes import state
from .._tensor.program import OpNode, Program, staged
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from .._tensor.unread import Unread
from . import _promotion

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
_PYTHON_NUMBERS = (bool, int, float, complex)
_scalars: dict = {}


def scalar(value):
    """A Python number as a cached weakly typed device array: cheaper per call than handing JAX the number."""
    key = (value.__class__, value)
    found = _scalars.get(key)
    if found is None:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            if not 0 <= value < 2**64:
                raise RuntimeError("value cannot be converted to type int64_t without overflow")
            return np.uint64(value)
        found = jnp.asarray(value)
        # Zero is not cached: -0.0 and 0.0 are equal as keys, and 1 / x tells them apart.
        if value and value == value and not isinstance(found, Tracer):
            if len(_scalars) > 4096:
                _scalars.clear()
            _scalars[key] = found
    return found


def execute(program: Program, inputs, cls=Tensor) -> Any:
    """Run a program on tensors, jax arrays and numbers; record it where a gradient is wanted.

    Returns:
        Tensor, or a tuple of them.
    """
    if state.dual is not None:
        return state.dual.execute(program, inputs, cls)
    if state.trace is not None:
        return _stage(program, inputs, cls)
    arrays, edges, track, where = [], [], False, None
    grad = state.grad
    for x in inputs:
        if isinstance(x, Tensor):
            storage = x._storage
            arrays.append(x._array() if x._path else storage.array)
            if storage.device is not where:
                where = storage.device if where is None else _one_device(inputs)
            edge = None
            if grad and (x._requires_grad or x._base is not None):
                edge = x._edge()
                if edge is not None:
                    track = True
            edges.append(edge)
        else:
            arrays.append(scalar(x) if type(x) in _PYTHON_NUMBERS else x)
            edges.append(None)
    if where is None:
        where = devices.default_device()
    if where is devices.meta:
        out = jax.eval_shape(program.flat, *(_meta(a) for a in arrays))
    else:
        if where is not devices.cpu:
            arrays = [_moved(a, where) for a in arrays]
        out = program.fwd(*arrays)
    node = None
    if type(out) is tuple:
        if track and program.differentiable:
            node = OpNode(program, arrays, edges, len(out))
        return tuple([_wrap(o, where, node, i, cls) for i, o in enumerate(out)])
    if track and program.differentiable and out.dtype.kind in "fcV":
        node = OpNode(program, arrays, edges, 1)
    return _wrap(out, where, node, 0, cls)


def _stage(program: Program, inputs, cls):
    """``execute`` inside a trace."""
    arrays, edges, where = [], [], None
    grad, watch = state.grad, state.trace.watch
    for x in inputs:
        if isinstance(x, Tensor):
            if watch is not None:
                watch.consume(x)
            arrays.append(x._array())
            if x._storage.device is not where:
                where = x._storage.device if where is None else _one_device(inputs)
            edges.append(x._edge() if grad else None)
        else:
            arrays.append(scalar(x) if type(x) is int and abs(x) >= 2**63 else x)
            edges.append(None)
    if where is None:
        where = devices.default_device()
    if where is devices.meta:
        out, node = jax.eval_shape(program.flat, *(_meta(a) for a in arrays)), None
    else:
        out, node = staged(program, arrays, edges)
    results = [_wrap(o, where, node, i, cls) for i, o in enumerate(out if type(out) is tuple else (out,))]
    for result in results:
        state.trace.bear(result)
    return tuple(results) if type(out) is tuple else results[0]


def _wrap(array, where, node, index, cls=Tensor):
    out = cls._of(array, where)
    if node is not None and (array.dtype.kind in "fcV"):
        out._node, out._index, out._requires_grad = node, index, True
    elif state.inference:
        out._inference = True
    return out


def _meta(a):
    return a if isinstance(a, jax.ShapeDtypeStruct) else jax.ShapeDtypeStruct(a.shape, a.dtype)


def _moved(a, where):
    return a if isinstance(a, Tracer) else jax.device_put(a, devices.jax_device(where))


def _one_device(inputs):
    """The device to compute on; 0-dim CPU tensors join any other.

    Raises:
        RuntimeError: tensors of one call live on several devices.
    """
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    major = {x._storage.device for x in tensors if x.dim() or x._storage.device.type != "cpu"}
    if len(major) > 1:
        first, second = sorted(map(str, major))[:2]
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{first} and {second}! Move one of them with .to(device)."
        )
    return next(iter(major)) if major else tensors[0]._storage.device


def record(program: Program, arrays, edges, outputs: int) -> OpNode:
    """A node for a program that was run elsewhere."""
    return OpNode(program, list(arrays), edges, outputs)


Values.execute = staticmethod(execute)
Values.node = staticmethod(record)


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
    return value


class Op:
    """A declared operator: the torch function. Call it with tensors, numbers and options.

    Attributes:
        fn: the pure JAX function it was declared from.
        numbers: which tensor parameters also take Python numbers; None for all.
    """

    numbers: frozenset | None = None

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
                i = self.index.get(_SYNONYMS.get(key) or key)
                if i is None:
                    raise TypeError(f"{self.name}() got an unexpected keyword argument '{key}'")
            if i < given:
                raise TypeError(f"{self.name}() got multiple values for argument '{key}'")
            bound[i] = value
        for i, value in enumerate(bound):
            if value is inspect.Parameter.empty:
                raise TypeError(f'{self.name}() missing 1 required positional arguments: "{self.names[i]}"')
        return bound

    def __call__(self, *args, out=None, **kwargs):
        bound = self.bind(args, kwargs) if kwargs or len(args) != len(self.params) else args
        if state.autocast is not None:
            bound = state.autocast.cast(self, bound)
        program, inputs = self.prepare(bound)
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
        program = Program(
            flat,
            self.name,
            linear=count if self.linear else 0,
            differentiable=self.differentiable,
            options=self.options,
        )
        if self.view:
            statics = {n: v for n, count, v, _ in plan if count is None}
            program.geometry = functools.partial(self.geometry, **statics) if self.geometry else None
            program.inverse = functools.partial(self.inverse, **statics) if self.inverse else None
        return program

    def _view(self, program, inputs):
        return view_of(inputs[0], program, inputs[1:])


def view_of(base: Tensor, program: Program, dynamic=()) -> Tensor:
    """A tensor that shares ``base``'s storage and looks at it through ``program``."""
    storage = base._storage
    if (
        storage.__class__ is Storage and type(storage.array) is _Concrete and state.trace is None
        and state.vmap is None and state.dual is None
    ):  # fmt: skip
        out = _unread_view(base, program, dynamic)
    else:
        out = execute(program, (base, *dynamic))
        out._cache, out._cache_version = out._storage.array, storage.version
        out._storage = storage
        out._path = (*base._path, (program, tuple(dynamic)))
    root = base._base
    if root is None:
        out._base, out._relative = base, ((program, tuple(dynamic)),)
        out._seen = base._history
    else:
        out._base, out._relative = root, (*base._relative, (program, tuple(dynamic)))
        out._seen = root._history
    if state.dual is not None:
        state.dual.view(out, base, (program, tuple(dynamic)))
    return out


# What an array is outside of a trace.
_Concrete = type(jnp.zeros(()))


def _unread_view(base: Tensor, program: Program, dynamic) -> Tensor:
    """A view that nothing is computed for until somebody reads it: many are only written, or viewed again."""
    form = base._form()
    key = "view", form.shape, form.dtype
    found = program._derivatives.get(key)
    if found is None:
        made = jax.eval_shape(program.flat, jax.ShapeDtypeStruct(form.shape, form.dtype), *dynamic)
        found = program._derivatives[key] = made.shape, made.dtype
    storage = base._storage
    out = object.__new__(Tensor)
    out._storage = storage
    out._path = path = (*base._path, (program, tuple(dynamic)))
    out._unread = Unread(
        found[0], found[1], functools.partial(_read_view, base, program, dynamic), path, storage.version
    )
    edge = base._edge() if state.grad and (base._requires_grad or base._base is not None) else None
    if edge is not None and program.differentiable and found[1].kind in "fcV":
        edges = [edge, *(None for _ in dynamic)]
        out._node, out._index = OpNode(program, [base._array(), *dynamic], edges, 1), 0
        out._requires_grad = True
    else:
        out._node, out._index, out._requires_grad = None, 0, False
        if state.inference:
            out._inference = True
    return out


def _read_view(base: Tensor, program: Program, dynamic, array):
    return program.fwd(base._array(), *dynamic)


def in_place(self: Tensor, result: Tensor, name: str) -> Tensor:
    """Let ``self`` become ``result``: torch's in-place form of any operator.

    Raises:
        RuntimeError: a leaf that requires grad, a dtype that does not fit, a shape that differs.
    """
    self._check_in_place()
    shape = self._array().shape
    if result._array().shape != shape:
        raise RuntimeError(
            f"output with shape {list(shape)} doesn't match the broadcast shape {list(result._array().shape)}"
        )
    if result.dtype is not self.dtype:
        if not _promotion.can_cast(result.dtype, self.dtype):
            raise RuntimeError(
                f"result type {scalar_name(result.dtype)} can't be cast to the desired output type "
                f"{scalar_name(self.dtype)}"
            )
        result = Values.cast(result, self.dtype)
    return self._assign(result)


_CPP = {
    "bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "float16": "Half", "float32": "Float", "float64": "Double", "bfloat16": "BFloat16",
    "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def scalar_name(d: dtypes.dtype) -> str:
    """torch's C++ name of a dtype, as its messages use it."""
    return _CPP.get(d.name) or d.name[:1].upper() + d.name[1:]


def write_out(name: str, result, out) -> Any:
    """Store a result in the tensors given as ``out=``, resizing empty ones.

    Raises:
        RuntimeError: ``out`` takes part in autograd, or its dtype cannot hold the result.
    """
    if isinstance(result, tuple):
        return tuple(write_out(name, r, o) for r, o in zip(result, out))
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type_name(out)}")
    if state.grad and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )
    if state.dual is not None and state.dual.get(result) is not None:
        raise NotImplementedError(
            f"Trying to use forward AD with {name}_out that does not support it because it is an out= function"
        )
    if result.dtype is not out.dtype:
        if not _promotion.can_cast(result.dtype, out.dtype):
            raise RuntimeError(
                f"result type {scalar_name(result.dtype)} can't be cast to the desired output type "
                f"{scalar_name(out.dtype)}"
            )
        result = Values.cast(result, out.dtype)
    if out.shape != result.shape and not out._path:
        out._storage.write(result._array())
    else:
        out._write(result._array())
    return out


_SYNONYMS = {
    "axis": "dim",
    "keepdims": "keepdim",
    "x": "input",
    "self": "input",
    "x2": "other",
    "a": "input",
}


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
        options: XLA compiler options.
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

    def method(self, *args, **kwargs):
        self._check_in_place()
        return in_place(self, function(self, *args, **kwargs), label)

    method.__name__ = method.__qualname__ = label
    method.__doc__ = f"In-place form of ``{label[:-1]}``."
    return method


def attach(name: str, function) -> None:
    """Make ``function`` a method of Tensor."""
    if isinstance(function, Op):

        def method(self, *args, **kwargs):
            return function(self, *args, **kwargs)

        method.__name__ = method.__qualname__ = name
        method.__doc__ = function.__doc__
        method.__wrapped__ = function.fn
        setattr(Tensor, name, method)
    else:
        setattr(Tensor, name, function)


def method(name=None):
    """Declare a Python-level function of tensors as a method too (one that is built from operators)."""

    def deco(function):
        attach(name or function.__name__, function)
        return function

    return deco
