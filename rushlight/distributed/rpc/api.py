"""Owns the calls themselves: start and end, and the three ways to call a function on a worker.

May import futures, the worker, references, the options and _errors.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..._errors import missing_name, not_supported
from ...futures import Future, wait_all
from .. import autograd
from ._agent import Agent, WorkerInfo, agent, call, current
from .backend_registry import BackendType
from .constants import DEFAULT_SHUTDOWN_TIMEOUT, UNSET_RPC_TIMEOUT
from .options import RpcBackendOptions, TensorPipeRpcBackendOptions
from .rref import PyRRef, RRef


def init_rpc(
    name: str, backend: BackendType | None = None, rank: int = -1, world_size: int | None = None,
    rpc_backend_options: RpcBackendOptions | None = None,
) -> None:  # fmt: skip
    """Make this process a worker, the only one; calls to it run in threads of it.

    Args:
        name: the worker's name.
        backend: the kind of agent; there is one.
        rank: 0; default: the environment's ``RANK``, or 0.
        world_size: 1; default: the environment's ``WORLD_SIZE``, or 1.
        rpc_backend_options: threads and time limits.

    Raises:
        NotImplementedError: more than one process.
        TypeError: a backend or options of another type.
        RuntimeError: called twice, or a name with other characters than letters, digits, ``-``, ``_`` and ``:``.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed import rpc
        >>> rpc.init_rpc("worker0", rank=0, world_size=1)
        >>> rpc.rpc_sync("worker0", torch.add, args=(torch.ones(2), 1))
        tensor([2., 2.])
        >>> rpc.shutdown()
    """
    if backend is not None and not isinstance(backend, BackendType):
        raise TypeError("Argument backend must be a member of BackendType")
    if rpc_backend_options is not None and not isinstance(rpc_backend_options, RpcBackendOptions):
        raise TypeError("Argument rpc_backend_options must be an instance of RpcBackendOptions")
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size is None else world_size
    here = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if size != 1:
        raise not_supported(
            f"init_rpc(world_size={size})",
            "Start one process (world_size=1); torch.nn.DataParallel splits a batch over the devices that JAX sees, "
            "and jax.distributed joins those of several processes.",
        )
    if here != 0:
        raise ValueError(f"init_rpc(): expected rank 0 in a group of one process, received {here}")
    if current:
        raise RuntimeError("RPC is already initialized")
    given = rpc_backend_options or RpcBackendOptions()
    if not isinstance(given, TensorPipeRpcBackendOptions):
        given = TensorPipeRpcBackendOptions(rpc_timeout=given.rpc_timeout, init_method=given.init_method)
    made = Agent(name, given)
    autograd._init(here)
    current.append(made)


def shutdown(graceful: bool = True, timeout: float = DEFAULT_SHUTDOWN_TIMEOUT) -> None:
    """Be a worker no longer.

    Args:
        graceful: finish the calls that were made; otherwise those that have not begun are forgotten.
        timeout: accepted: it limits how long other workers are waited for.

    Raises:
        RuntimeError: ``init_rpc`` was not called.
    """
    ending = agent()
    try:
        ending.shutdown(graceful)
    finally:
        current.clear()


def get_worker_info(worker_name: str | int | None = None) -> WorkerInfo:
    """The worker of a name; default: this one.

    Args:
        worker_name: the name.

    Raises:
        RuntimeError: there is no such worker, or ``init_rpc`` was not called.
    """
    return agent().get_worker_info(worker_name)


def _to_worker_info(to: Any) -> WorkerInfo:
    if isinstance(to, WorkerInfo):
        return agent().get_worker_info(to.id)
    if isinstance(to, str | int):
        return get_worker_info(to)
    raise ValueError(f"Cannot get WorkerInfo from name {to}")


class _Waiting(threading.local):
    futures: list | None = None


_waiting = _Waiting()


@contextmanager
def _wait_all() -> Iterator[None]:
    """A block that waits, at its end, for all calls that ``rpc_async`` began in it."""
    _waiting.futures = []
    try:
        yield
    finally:
        started, _waiting.futures = _waiting.futures, None
        wait_all(started)


def rpc_async(
    to: Any, func: Callable, args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> Future:
    """Call a function on a worker, and go on.

    Args:
        to: the worker: its name, number or ``WorkerInfo``.
        func: the function; ``pickle`` must find it by its name.
        args, kwargs: its arguments; they are copied.
        timeout: how many seconds it may take, 0 for any number; default: what the options say.

    Returns:
        Future: its result.

    Raises:
        RuntimeError: there is no such worker, or ``init_rpc`` was not called.
    """
    agent()
    _to_worker_info(to)
    future = call(func, args, kwargs, timeout, keep=False)
    if _waiting.futures is not None:
        _waiting.futures.append(future)
    return future


def rpc_sync(to: Any, func: Callable, args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
    """Call a function on a worker, and wait for its result; arguments as for ``rpc_async``.

    Raises:
        Exception: what the function raised, with the worker and its traceback in the message.
    """
    agent()
    _to_worker_info(to)
    return call(func, args, kwargs, timeout, keep=False).wait()


def remote(to: Any, func: Callable, args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT) -> RRef:
    """Call a function on a worker, and leave its result there; arguments as for ``rpc_async``.

    Returns:
        RRef: a reference to the result.
    """
    agent()
    _to_worker_info(to)
    return RRef._of(call(func, args, kwargs, timeout, keep=True))


def get_rpc_timeout() -> float:
    """How many seconds a call may take that says nothing else."""
    return agent().timeout


def _set_rpc_timeout(rpcTimeoutSeconds: float) -> None:
    agent().timeout = float(rpcTimeoutSeconds)


def _is_current_rpc_agent_set() -> bool:
    return bool(current)


_get_current_rpc_agent = agent


def _require_initialized(func: Callable) -> Callable:
    """A function that asks for ``init_rpc`` before it runs."""

    @functools.wraps(func)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not current:
            raise RuntimeError("RPC has not been initialized. Call torch.distributed.rpc.init_rpc first.")
        return func(*args, **kwargs)

    return checked


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "PyRRef", "RRef", "WorkerInfo", "get_rpc_timeout", "get_worker_info", "init_rpc", "remote", "rpc_async",
    "rpc_sync", "shutdown",
]  # fmt: skip
