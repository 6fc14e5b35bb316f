"""Owns ``torch.distributed.nn``: collectives through which gradients pass, and modules that a worker holds.

May import the files below and _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from . import functional as functional
from .api.remote_module import RemoteModule as RemoteModule
from .functional import *  # noqa: F403


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
