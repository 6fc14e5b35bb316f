"""Owns ``torch.fx.passes.infra``: its parts load on first use.

May import _errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ...._errors import missing_name


def __getattr__(name: str) -> Any:
    if name == "pass_base":
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__: list[str] = []
