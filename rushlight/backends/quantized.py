"""``torch.backends.quantized``: which integer kernels a program asked for; rushlight has none, and rounds floats.

May import nothing of rushlight. Assignments are checked, so the module has a class of its own, as in torch.
"""

from __future__ import annotations

import sys
import types
from typing import Any

_ENGINES = ("qnnpack", "onednn", "x86", "fbgemm")


class _Quantized(types.ModuleType):
    """The module, with checked attributes."""

    _engine = "x86"

    @property
    def supported_engines(self) -> list[str]:
        """The names that ``engine`` takes, ``"none"`` apart."""
        return list(_ENGINES)

    @supported_engines.setter
    def supported_engines(self, value: Any) -> None:
        raise RuntimeError("Assignment not supported")

    @property
    def engine(self) -> str:
        """The name that was chosen; what ``get_default_qat_qconfig`` takes is its own argument."""
        return self._engine

    @engine.setter
    def engine(self, name: str) -> None:
        if name not in (*_ENGINES, "none", "", None):
            raise RuntimeError(f"{name} is not a valid value for quantized engine")
        self._engine = name or "none"


sys.modules[__name__].__class__ = _Quantized
engine: str
supported_engines: list[str]
