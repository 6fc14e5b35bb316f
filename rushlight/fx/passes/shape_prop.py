"""Owns ``ShapeProp``, which runs a graph and notes dtypes and sizes on its nodes.

May import the interpreter, dtypes and the tensor cell.
"""

from __future__ import annotations

import traceback
from typing import Any, NamedTuple

from ... import dtypes
from ..._errors import not_supported
from ..._tensor.tensor import Tensor
from ..graph_module import GraphModule
from ..interpreter import Interpreter
from ..node import Node, map_aggregate

_FORMATS = (dtypes.contiguous_format, dtypes.channels_last, dtypes.channels_last_3d)


class TensorMetadata(NamedTuple):
    """What is known of a tensor without its values."""

    shape: dtypes.Size
    dtype: dtypes.dtype
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: dtypes.memory_format | None
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(result: Tensor, include_contiguity: bool = True) -> TensorMetadata:
    """What is known of a tensor without its values."""
    dims = {dtypes.channels_last: 4, dtypes.channels_last_3d: 5}
    layout = next(
        (
            one
            for one in (_FORMATS if include_contiguity else ())
            if dims.get(one, result.dim()) == result.dim() and result.is_contiguous(memory_format=one)
        ),
        None,
    )
    return TensorMetadata(
        result.shape, result.dtype, result.requires_grad, tuple(result.stride()), layout, False, {}
    )  # fmt: skip


class ShapeProp(Interpreter):
    """Runs a module's graph on real inputs and notes what each node gives in ``meta["tensor_meta"]`` and ``["type"]``.

    Args:
        gm: the module.
        fake_mode: refused: run it on ``torch.empty`` of the sizes instead.

    Raises:
        NotImplementedError: ``fake_mode``.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.fx.passes.shape_prop import ShapeProp
        >>> module = torch.fx.symbolic_trace(lambda x: x.sum(1))
        >>> _ = ShapeProp(module).propagate(torch.ones(2, 3))
        >>> [tuple(node.meta["tensor_meta"].shape) for node in module.graph.nodes]
        [(2, 3), (2,), (2,)]
    """

    def __init__(self, gm: GraphModule, fake_mode: Any = None):
        super().__init__(gm)
        if fake_mode is not None:
            raise not_supported("ShapeProp(fake_mode=)", "Give propagate() tensors of the wanted sizes.")

    def run_node(self, n: Node) -> Any:
        """Run one node and note what it gives.

        Raises:
            RuntimeError: it fails.
        """
        try:
            result = super().run_node(n)
        except Exception as error:
            traceback.print_exc()
            raise RuntimeError(f"ShapeProp error for: node={n.format_node()} with meta={n.meta}") from error
        found: list[Tensor] = []

        def look(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            found.append(value)
            return _extract_tensor_metadata(value)

        meta = map_aggregate(result, look)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run the graph.

        Args:
            args: the inputs.
        """
        return super().run(*args)


__all__ = ["ShapeProp", "TensorMetadata"]
