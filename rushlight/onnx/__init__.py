"""Owns ``torch.onnx``: the names of ONNX's element types, and the refusal to write ONNX files.

Imports _errors.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from typing import Any

from .._errors import missing_name, not_supported


class OnnxExporterError(RuntimeError):
    """What a failed export raises; kept so that it can be caught."""


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
        "Save state_dict() with torch.save and export from PyTorch, which reads the file.",
    )


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Accepted: it tells the exporter about an operator, and there is no exporter to tell.

    Args:
        symbolic_name: the operator's name.
        symbolic_fn: how it would be written.
        opset_version: from which version on.
    """


def __getattr__(name: str) -> Any:
    if name in ("operators", "symbolic_helper", "symbolic_opset11"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = ["OnnxExporterError", "TensorProtoDataType", "export", "is_in_onnx_export", "register_custom_op_symbolic"]
