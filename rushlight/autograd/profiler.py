"""Owns ``torch.autograd.profiler``: the older home of ``profile`` and ``record_function``; re-exports only.

May import profiler and _errors.
"""

from typing import Any

from .._errors import missing_name
from ..profiler import EventList, profile, record_function


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["EventList", "profile", "record_function"]
