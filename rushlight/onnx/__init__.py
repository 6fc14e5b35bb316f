"""Owns ``torch.onnx``: ONNX's element types, the registry of symbolic functions, and the refusal to write files.

May import the registry, the exceptions and _errors.
"""

from __future__ import annotations

import re
from enum import Enum
from importlib import import_module
from typing import Any

from .._errors import missing_name, not_supported
from ._internal.torchscript_exporter.registration import registry
from .errors import OnnxExporterError


class TensorProtoDataType(Enum):
    """The numbers under which ONNX files keep element types.

    Example:
        >>> import rushlight as torch
        >>> int(torch.onnx.TensorProtoDataType.INT64)
        7
    """

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20

    def __index__(self) -> int:
        return self.value

    __int__ = __index__


def is_in_onnx_export() -> bool:
    """Whether a model is being exported to ONNX: never."""
    return False


def export(*args: Any, **kwargs: Any) -> Any:
    """Refused: rushlight writes no ONNX files.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported(
        "torch.onnx.export",
        "Save state_dict() with torch.save and export from PyTorch, which reads the file; jax.export writes StableHLO.",
    )


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Keep a symbolic function: how an operator would be written in ONNX, which a registry gives back.

    Nothing exports here, so nothing but ``torch.onnx._internal.torchscript_exporter.registration.registry`` reads it.

    Args:
        symbolic_name: ``domain::name``.
        symbolic_fn: takes a graph and the operator's arguments, and writes nodes.
        opset_version: from which version of ONNX on.

    Raises:
        OnnxExporterError: a name of another form.
        ValueError: an operator of ONNX itself.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.onnx._internal.torchscript_exporter.registration import registry
        >>> torch.onnx.register_custom_op_symbolic("my::twice", lambda g, x: g.op("Add", x, x), 9)
        >>> registry.is_registered_op("my::twice", 17)
        True
        >>> torch.onnx.unregister_custom_op_symbolic("my::twice", 9)
        >>> registry.is_registered_op("my::twice", 17)
        False
    """
    registry.register(_custom_name(symbolic_name), opset_version, symbolic_fn, custom=True)


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Take a symbolic function away; arguments as for ``register_custom_op_symbolic``."""
    registry.unregister(_custom_name(symbolic_name), opset_version)


def _custom_name(name: str) -> str:
    name = f"aten{name}" if name.startswith("::") else name
    if not re.match(r"^[a-zA-Z0-9-_]+::[a-zA-Z-_]+[a-zA-Z0-9-_]*$", name):
        raise OnnxExporterError(
            f"Failed to register operator {name}. The symbolic name must match the format domain::name, and should "
            "start with a letter and contain only alphanumeric characters"
        )
    if name.startswith("onnx::"):
        raise ValueError(f"Failed to register operator {name}. onnx domain cannot be modified.")
    return name


_MODULES = ("errors", "operators", "symbolic_helper", "symbolic_opset9", "symbolic_opset11", "symbolic_opset12")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = [
    "OnnxExporterError",
    "TensorProtoDataType",
    "export",
    "is_in_onnx_export",
    "register_custom_op_symbolic",
    "unregister_custom_op_symbolic",
]
