"""Owns nothing: ``torch.return_types``, the named tuples that operators with several results give.

May import the operators' results and _errors.
"""

from __future__ import annotations

from typing import Any

from ._errors import missing_name
from .ops import _results


def __getattr__(name: str) -> Any:
    found = _results._CLASSES.get(name)
    if found is None:
        raise missing_name(__name__, name)
    return found


def __dir__() -> list[str]:
    return sorted(_results._CLASSES)
