"""Owns the folder of remote modules; re-exports only.

May import the file below and _errors.
"""

from __future__ import annotations

from typing import Any

from ...._errors import missing_name
from .remote_module import RemoteModule as RemoteModule


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
