"""Owns the exceptions of ``torch.onnx``.

Imports _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name


class OnnxExporterError(RuntimeError):
    """What a failed export raises; kept so that it can be caught."""


class SymbolicValueError(OnnxExporterError):
    """A symbolic function received a value that it cannot write.

    Args:
        msg: what is wrong.
        value: the value.
    """

    def __init__(self, msg: str, value: Any):
        node = value.node()
        shown = [
            f"{what}:\n"
            + ("\n".join(f"    #{i}: {one}  (type '{one.type()}')" for i, one in enumerate(values)) or "    Empty")
            for what, values in (("Inputs", node.inputs()), ("Outputs", node.outputs()))
        ]
        super().__init__(
            f"{msg}  [Caused by the value '{value}' (type '{value.type()}') in the graph. The containing node has kind "
            f"'{node.kind()}'.]\n\n" + "\n".join(shown)
        )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["OnnxExporterError"]
