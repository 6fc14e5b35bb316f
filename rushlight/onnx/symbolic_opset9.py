"""Owns symbolic functions of ONNX's version 9: how operators would be written, into a graph that can be read back.

May import the helpers, the registry and _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name
from . import TensorProtoDataType
from ._graph import Value
from ._internal.torchscript_exporter.registration import onnx_symbolic
from .symbolic_helper import (
    _get_const,
    _if_scalar_type_as,
    _maybe_get_scalar,
    _reducesum_helper,
    parse_args,
    scalar_type_to_onnx,
)


@onnx_symbolic("aten::masked_fill", 9)
def masked_fill(g: Any, self: Any, mask: Any, value: Any) -> Value:
    """Write ``masked_fill``: a choice between the value, which is a scalar, and the tensor.

    Args:
        g: the graph.
        self, mask, value: values of it; ``value`` may be a tensor.
    """
    chosen = g.op("Cast", mask, to_i=TensorProtoDataType.BOOL)
    return g.op("Where", chosen, _if_scalar_type_as(_maybe_get_scalar(value), self), self)


def _cast(g: Any, value: Any, dtype: Any) -> Any:
    if dtype is None or (isinstance(dtype, Value) and dtype.node().kind() == "prim::Constant"):
        return value
    return g.op("Cast", value, to_i=scalar_type_to_onnx[_get_const(dtype, "i", "dtype")])


@onnx_symbolic("aten::softmax", 9)
@parse_args("v", "i", "none")
def softmax(g: Any, input: Any, dim: int, dtype: Any = None) -> Value:
    """Write ``softmax``: ONNX takes all dimensions from its axis on as one, so the dimension is moved to the end.

    Args:
        g: the graph.
        input: a value of it; where its number of dimensions is not known, the formula is written out.
        dim: the dimension.
        dtype: the number of a dtype, as a constant of the graph.
    """
    rank = input.type().dim()
    if rank is None:
        shifted = g.op("Sub", input, g.op("ReduceMax", input, axes_i=[dim], keepdims_i=1))
        powers = g.op("Exp", shifted)
        return _cast(g, g.op("Div", powers, _reducesum_helper(g, powers, [dim])), dtype)
    dim = dim + rank if dim < 0 else dim
    order = list(range(rank))
    order[dim], order[-1] = order[-1], order[dim]
    moved = dim != rank - 1
    if moved:
        input = g.op("Transpose", input, perm_i=order)
    result = _cast(g, g.op("Softmax", input, axis_i=rank - 1), dtype)
    return g.op("Transpose", result, perm_i=order) if moved else result


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["masked_fill", "softmax"]
