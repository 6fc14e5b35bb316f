"""Owns ``torch.onnx`` as a refusal: rushlight writes no ONNX files.

Imports _errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors import missing_name, not_supported


class OnnxExporterError(RuntimeError):
    """What a failed export raises; kept so that it can be caught."""


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
    if name in ("symbolic_helper", "symbolic_opset11"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = ["OnnxExporterError", "export", "is_in_onnx_export", "register_custom_op_symbolic"]
