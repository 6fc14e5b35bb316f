"""Owns ``torch.onnx`` as a refusal: rushlight writes no ONNX files.

Imports _errors.
"""

from __future__ import annotations

from typing import Any

from ._errors import missing_name, not_supported


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


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["OnnxExporterError", "export", "is_in_onnx_export"]
