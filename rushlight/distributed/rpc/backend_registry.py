"""Owns the names of the kinds of agents: there is one, torch's default.

May import the options and _errors.
"""

from __future__ import annotations

import enum
from typing import Any

from ..._errors import missing_name
from . import constants
from .options import TensorPipeRpcBackendOptions


class BackendType(enum.Enum):
    """The kinds of agents.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.BackendType.TENSORPIPE
        BackendType.TENSORPIPE
    """

    TENSORPIPE = TensorPipeRpcBackendOptions

    def __repr__(self) -> str:
        return f"BackendType.{self.name}"


def backend_registered(backend_name: str) -> bool:
    """Whether there is a kind of agent of this name."""
    return backend_name in BackendType.__members__


def construct_rpc_backend_options(
    backend: BackendType, rpc_timeout: float = constants.DEFAULT_RPC_TIMEOUT_SEC,
    init_method: str = constants.DEFAULT_INIT_METHOD, **kwargs: Any,
) -> TensorPipeRpcBackendOptions:  # fmt: skip
    """The options of a kind of agent.

    Args:
        backend: which kind.
        rpc_timeout, init_method, kwargs: as for ``TensorPipeRpcBackendOptions``.
    """
    return backend.value(rpc_timeout=rpc_timeout, init_method=init_method, **kwargs)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["BackendType", "backend_registered", "construct_rpc_backend_options"]
