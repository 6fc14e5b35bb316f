"""Owns ``torch.distributed.rpc`` for a world of one process: calls to its worker run in threads, by torch's rules.

May import this folder and _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name
from . import api as api
from . import backend_registry as backend_registry
from . import constants as constants
from . import functions as functions
from . import options as options
from .api import *  # noqa: F403
from .api import _get_current_rpc_agent as _get_current_rpc_agent
from .api import _is_current_rpc_agent_set as _is_current_rpc_agent_set
from .api import _set_rpc_timeout as _set_rpc_timeout
from .api import _wait_all as _wait_all
from .backend_registry import BackendType as BackendType
from .options import RpcBackendOptions as RpcBackendOptions
from .options import TensorPipeRpcBackendOptions as TensorPipeRpcBackendOptions


def is_available() -> bool:
    """Whether the package is there."""
    return True


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
