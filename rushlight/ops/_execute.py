"""Owns running a program on tensors (unwrap, run, record, wrap), and what becomes of the result: views, ``out=``.

May import the tensor cell, the tape and jax; knows no operator and not how they are declared.
"""

from __future__ import annotations

import functools
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
from .._hooks import changes
from .._tensor.program import OpNode, Program, staged
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from .._tensor.unread import Unread
from . import _promotion

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


def view_of(base: Tensor, program: Program, dynamic=()) -> Tensor:
    """A tensor that shares ``base``'s storage and looks at it through ``program``."""
    storage = base._storage
    if (
        storage.__class__ is Storage and not isinstance(storage.array, _NO_VALUES) and state.trace is None
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


# What a storage holds where there are no values to compute with.
_NO_VALUES = (Tracer, jax.ShapeDtypeStruct)


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
    "complex32": "ComplexHalf", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
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
        changes.count += 1  # the storage has another shape
    else:
        out._write(result._array())
    return out
