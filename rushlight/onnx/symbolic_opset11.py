"""Owns symbolic functions of ONNX's version 11, which allows negative places.

May import the helpers, the registry, creation and _errors.
"""

from __future__ import annotations

import warnings
from typing import Any

from .. import dtypes
from .._errors import missing_name
from ..ops.creation import tensor
from ._graph import Value
from ._internal.torchscript_exporter.registration import onnx_symbolic
from .symbolic_helper import _get_const, _is_constant, _squeeze_helper, _unsqueeze_helper, parse_args


@onnx_symbolic("aten::select", 11)
@parse_args("v", "i", "v")
def select(g: Any, self: Any, dim: int, index: Any) -> Value:
    """Write ``select``.

    Args:
        g: the graph.
        self, index: values of it.
        dim: the dimension.
    """
    return g.op("Gather", self, index, axis_i=dim)


@onnx_symbolic("aten::squeeze", 11)
def squeeze(g: Any, self: Any, dim: Any = None) -> Value:
    """Write ``squeeze``; where the size is not known, a branch that asks for it.

    Args:
        g: the graph.
        self: a value of it.
        dim: the dimension, as a number or a value; default: all of size 1.
    """
    if dim is None:
        return g.op("Squeeze", self)
    if not _is_constant(dim):
        return _squeeze_helper(g, self, [dim])
    dim = _get_const(dim, "i", "dim")
    sizes = self.type().sizes()
    if sizes is None:
        return _squeeze_if_one(g, self, dim)
    at = dim + len(sizes) if dim < 0 else dim
    if sizes[at] > 1:
        warnings.warn(
            f"This model contains a squeeze operation on dimension {at}. The size of this dimension in the given input "
            f"is {sizes[at]}. The model will be exported without the squeeze node. If the model is intended to be used "
            "with dynamic input shapes, please export with dynamic_axes argument.",
            stacklevel=2,
        )
        return self
    return _squeeze_helper(g, self, [at])


def _squeeze_if_one(g: Any, value: Any, dim: int) -> Value:
    place = g.op("Constant", value_t=tensor([dim]))
    size = g.op("Gather", g.op("Shape", value), place, axis_i=0)
    one = g.op("Constant", value_t=tensor([1], dtype=dtypes.int64))
    chosen = g.op("If", g.op("Equal", size, one))
    then, otherwise = (chosen.node().addBlock() for _ in range(2))
    then.registerOutput(_squeeze_helper(then, value, [dim]))
    otherwise.registerOutput(otherwise.op("Identity", value))
    return chosen


@onnx_symbolic("aten::unsqueeze", 11)
def unsqueeze(g: Any, self: Any, dim: Any) -> Value:
    """Write ``unsqueeze``.

    Args:
        g: the graph.
        self: a value of it.
        dim: the dimension, as a number or a value.
    """
    return _unsqueeze_helper(g, self, [_get_const(dim, "i", "dim") if _is_constant(dim) else dim])


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["select", "squeeze", "unsqueeze"]
