"""Owns what symbolic functions share: arguments read from constants of a graph, and the names of element types.

May import the tensor cell, the graph, creation and the errors.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .. import dtypes
from .._errors import missing_name
from .._tensor.tensor import Tensor
from ..ops.creation import tensor
from . import TensorProtoDataType
from ._graph import Value
from .errors import SymbolicValueError

_F = TypeVar("_F", bound=Callable)

cast_pytorch_to_onnx = {
    "Byte": TensorProtoDataType.UINT8, "Char": TensorProtoDataType.INT8, "Double": TensorProtoDataType.DOUBLE,
    "Float": TensorProtoDataType.FLOAT, "Half": TensorProtoDataType.FLOAT16, "Int": TensorProtoDataType.INT32,
    "Long": TensorProtoDataType.INT64, "Short": TensorProtoDataType.INT16, "Bool": TensorProtoDataType.BOOL,
    "ComplexFloat": TensorProtoDataType.COMPLEX64, "ComplexDouble": TensorProtoDataType.COMPLEX128,
    "BFloat16": TensorProtoDataType.BFLOAT16, "Undefined": TensorProtoDataType.UNDEFINED,
}  # fmt: skip

# By the numbers that TorchScript has for dtypes.
scalar_type_to_onnx = [
    cast_pytorch_to_onnx[name]
    for name in (
        "Byte", "Char", "Short", "Int", "Long", "Half", "Float", "Double", "Undefined", "ComplexFloat",
        "ComplexDouble", "Bool", "Char", "Byte", "Int", "BFloat16",
    )
]  # fmt: skip

_READ: dict[str, Callable] = {
    "i": int,
    "f": float,
    "b": bool,
    "s": str,
    "t": lambda value: value,
    "is": lambda values: [int(value) for value in values],
    "fs": lambda values: [float(value) for value in values],
}


def _is_constant(value: Any) -> bool:
    return not isinstance(value, Value) or value.node().kind() in ("onnx::Constant", "prim::Constant")


def _held(value: Value) -> Any:
    node = value.node()
    return getattr(node, node.kindOf("value"))("value")


def _parse_arg(value: Any, desc: str, arg_name: str | None = None, node_name: str | None = None) -> Any:
    if desc in ("none", "v") or not isinstance(value, Value):
        return value
    node = value.node()
    if node.mustBeNone():
        return None
    if node.kind() == "onnx::Constant":
        if desc not in _READ:
            raise SymbolicValueError(
                f"ONNX symbolic does not understand the Constant node '{node}' specified with descriptor '{desc}'.",
                value,
            )
        return _READ[desc](_held(value))
    if node.kind() == "prim::ListConstruct":
        if desc != "is":
            raise SymbolicValueError(
                "ONNX symbolic does not know how to unpack the ListConstruct node that is not a list of integers: "
                f"'{node}'",
                value,
            )
        for one in node.inputs():
            if one.node().kind() != "onnx::Constant":
                raise SymbolicValueError(
                    f"Failed to export a node '{one.node()}' (in list node {node}) because it is not constant. Please "
                    "try to make things (e.g. kernel sizes) static if possible.",
                    value,
                )
        return [int(_held(one)) for one in node.inputs()]
    which = "" if arg_name is None or node_name is None else f" for argument '{arg_name}' of node '{node_name}'"
    raise SymbolicValueError(f"Expected node type 'onnx::Constant'{which}, got '{node.kind()}'.", value)


def parse_args(*arg_descriptors: str) -> Callable[[_F], _F]:
    """A decorator for symbolic functions: arguments that are constants of the graph arrive as Python's values.

    Args:
        arg_descriptors: what each argument becomes: ``"v"`` stays, ``"i"`` int, ``"f"`` float, ``"b"`` bool, ``"s"``
            str, ``"t"`` tensor, ``"is"`` and ``"fs"`` lists, ``"none"`` is not used.

    Raises:
        AssertionError: more arguments than descriptors, or other keywords than ``_outputs``.

    Example:
        >>> from rushlight import _C, onnx, tensor
        >>> @onnx.symbolic_helper.parse_args("v", "i")
        ... def rows(g, x, count):
        ...     return count + 1
        >>> g = _C.Graph()
        >>> rows(g, g.addInput(), g.op("Constant", value_t=tensor(2)))
        3
    """

    def decorate(function: Any) -> Any:
        function._arg_descriptors = arg_descriptors
        names = list(inspect.signature(function).parameters)[1:]

        @functools.wraps(function)
        def wrapper(g: Any, *args: Any, **kwargs: Any) -> Any:
            if len(arg_descriptors) < len(args):
                raise AssertionError(
                    f"A mismatch between the number of arguments ({len(args)}) and their descriptors "
                    f"({len(arg_descriptors)}) was found at symbolic function '{function.__name__}'."
                )
            if set(kwargs) - {"_outputs"}:
                raise AssertionError(
                    f"Symbolic function {function.__name__}'s '**kwargs' can only contain '_outputs' key at '**kwargs'."
                )
            shown = names + [None] * (len(args) - len(names))
            read = [_parse_arg(*one, function.__name__) for one in zip(args, arg_descriptors, shown, strict=False)]
            return function(g, *read, **kwargs)

        return wrapper

    return decorate


def _get_const(value: Any, desc: str, arg_name: str) -> Any:
    if not _is_constant(value):
        raise SymbolicValueError(
            f"ONNX symbolic expected a constant value of the '{arg_name}' argument, got '{value}'", value
        )
    return _parse_arg(value, desc)


def _maybe_get_scalar(value: Any) -> Any:
    """The tensor of a constant that is a scalar; anything else as it is."""
    if isinstance(value, Value) and value.node().kind() == "onnx::Constant":
        held = _held(value)
        if isinstance(held, Tensor) and held.dim() == 0:
            return held
    return value


def _if_scalar_type_as(value: Any, like: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    dtype = like.type()._dtype if isinstance(like, Value) else like.dtype
    return value if dtype is None else value.to(dtype)


def _axes(g: Any, opname: str, value: Any, axes: list) -> Any:
    """An operator whose axes are an attribute, and from version 13 on an input."""
    if not _is_constant(axes[0]):
        if g.opset < 13:
            raise SymbolicValueError(f"Opset version must be >= 13 for {opname} with dynamic axes.", value)
        return g.op(opname, value, axes[0])
    if g.opset >= 13:
        return g.op(opname, value, g.op("Constant", value_t=tensor(axes, dtype=dtypes.int64)))
    return g.op(opname, value, axes_i=axes)


def _squeeze_helper(g: Any, value: Any, axes: list) -> Any:
    if not _is_constant(axes[0]) and g.opset >= 13:
        rank = axes[0].type().dim()
        if rank is None:
            raise AssertionError("Expected axes_rank to be non-None")
        if rank > 1:
            raise SymbolicValueError("For Squeeze axses as input, the axes rank must be one in ONNX spec.", value)
        if rank == 0:
            return g.op("Squeeze", value, _axes(g, "Unsqueeze", axes[0], [0]))
    return _axes(g, "Squeeze", value, axes)


def _unsqueeze_helper(g: Any, value: Any, axes: list) -> Any:
    return _axes(g, "Unsqueeze", value, axes)


def _reducesum_helper(g: Any, value: Any, axes: list) -> Any:
    if g.opset >= 13:
        listed = g.op("Constant", value_t=tensor(axes, dtype=dtypes.int64))
        return g.op("ReduceSum", value, listed, keepdims_i=1, noop_with_empty_axes_i=0)
    return g.op("ReduceSum", value, axes_i=axes, keepdims_i=1)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["cast_pytorch_to_onnx", "parse_args", "scalar_type_to_onnx"]
