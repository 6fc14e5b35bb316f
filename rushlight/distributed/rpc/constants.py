"""Owns the defaults of remote calls, with torch's values.

Imports _errors and the standard library.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..._errors import missing_name

DEFAULT_RPC_TIMEOUT_SEC: float = 60.0
DEFAULT_INIT_METHOD: str = "env://"
DEFAULT_SHUTDOWN_TIMEOUT: float = 0
DEFAULT_NUM_WORKER_THREADS: int = 16
DEFAULT_PROCESS_GROUP_TIMEOUT: timedelta = timedelta(milliseconds=2**31 - 1)
UNSET_RPC_TIMEOUT: float = -1.0


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__: list[str] = []
