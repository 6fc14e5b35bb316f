"""Owns ``torch.fx.experimental``: its parts load on first use.

May import _errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._errors import missing_name

_LAZY = frozenset({"optimization", "proxy_tensor"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__: list[str] = []
