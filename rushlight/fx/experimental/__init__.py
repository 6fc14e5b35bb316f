"""Owns ``torch.fx.experimental`` as far as packages ask whether a tracer is at work.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__: list[str] = []
