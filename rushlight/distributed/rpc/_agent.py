"""Owns the one worker there is: its name, the threads that answer its calls, and the rules for errors and time limits.

May import futures, the operators' class, the wire, the gradients' contexts and the options.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...futures import Future
from ...ops._op import Op
from .. import autograd
from . import _wire
from .constants import UNSET_RPC_TIMEOUT
from .options import TensorPipeRpcBackendOptions


class WorkerInfo:
    """A worker: its name and its number.

    Args:
        name: the name.
        worker_id: the number.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.WorkerInfo("worker0", 0)
        WorkerInfo(id=0, name=worker0)
    """

    __slots__ = ("_id", "_name")

    def __init__(self, name: str, worker_id: int):
        if not name or len(name) >= 128 or any(not (c.isascii() and c.isalnum()) and c not in "-_:" for c in name):
            raise RuntimeError(
                "Worker name must match ^[A-Za-z0-9-_:]*$, and must be non-empty and shorter than 128 chars, but got "
                f"{name}"
            )
        self._name, self._id = name, int(worker_id)

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def id(self) -> int:
        """The number."""
        return self._id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkerInfo) and (self._name, self._id) == (other._name, other._id)

    def __hash__(self) -> int:
        return hash((self._name, self._id))

    def __reduce__(self) -> tuple:
        return WorkerInfo, (self._name, self._id)

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self._id}, name={self._name})"


class Agent:
    """The worker that this process is.

    Args:
        name: its name.
        options: how many threads answer, and how long a call may take.
    """

    def __init__(self, name: str, options: TensorPipeRpcBackendOptions):
        self.info, self.options, self.timeout = WorkerInfo(name, 0), options, options.rpc_timeout
        self._pool = ThreadPoolExecutor(options.num_worker_threads, thread_name_prefix=f"rpc-{name}")

    def get_worker_info(self, worker: str | int | None = None) -> WorkerInfo:
        """The worker of a name or number; default: this one.

        Raises:
            RuntimeError: there is no other.
        """
        if worker is None or worker in (self.info.name, self.info.id):
            return self.info
        what = "name" if isinstance(worker, str) else "id"
        raise RuntimeError(
            f"name:{self.info.name},rank:{self.info.id} could not find destination {what} {worker}: there is one worker"
        )

    def get_worker_infos(self) -> list[WorkerInfo]:
        """All workers."""
        return [self.info]

    def submit(self, run: Callable, future: Future, timeout: float) -> None:
        """Let one of the threads run ``run``, and fail the future if that takes too long."""
        seconds = self.timeout if timeout == UNSET_RPC_TIMEOUT else timeout
        if seconds > 0:
            limit = f"RPCErr:1:RPC ran for more than set timeout ({round(seconds * 1000)} ms)"
            error = RuntimeError(f"{limit} and will now be marked with an error")
            timer = threading.Timer(seconds, settle, (future,), {"error": error})
            timer.daemon = True
            timer.start()
            future.add_done_callback(lambda _: timer.cancel())
        self._pool.submit(run)

    def shutdown(self, wait: bool) -> None:
        """Stop answering; wait for calls that are under way, or forget those that have not begun."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)


current: list[Agent] = []  # the agent, from init_rpc to shutdown


def agent() -> Agent:
    """The agent.

    Raises:
        RuntimeError: ``init_rpc`` was not called.
    """
    if not current:
        raise RuntimeError("RPC has not been initialized. Call torch.distributed.rpc.init_rpc first.")
    return current[0]


def settle(future: Future, value: Any = None, error: BaseException | None = None) -> None:
    """Complete a future that may have failed meanwhile, because it took too long."""
    try:
        future.set_exception(error) if error is not None else future.set_result(value)
    except RuntimeError:
        if not future.done():
            raise


def _as_remote(error: BaseException, keep: bool) -> BaseException:
    """The error that the caller gets, with the worker and the traceback in its message.

    Args:
        error: what was raised.
        keep: whether a reference holds it: that gives every class back, a call's result those that torch sends.
    """
    where = current[0].info if current else "a worker that was shut down"
    message = f"On {where}:\n{error!r}\n{''.join(traceback.format_exception(error))}"
    kind = type(error)
    if not keep:
        message = f"{kind.__name__}: {message}"
        kind = kind if kind in (ValueError, TypeError) else RuntimeError
    try:
        return kind(message)
    except Exception as again:
        return RuntimeError(
            f"Failed to create original exception type. Error msg was {again} Original exception on remote side was "
            f"{message}"
        )


def call(func: Callable, args: Any, kwargs: Any, timeout: float, *, keep: bool) -> Future:
    """Run a function in a thread of the worker.

    Args:
        func, args, kwargs: what to run; copied on the way.
        timeout: how many seconds it may take.
        keep: the result stays with the worker, for a reference; otherwise it is copied on its way back.

    Returns:
        Future: the result.
    """
    here, context = agent(), autograd._current()
    deferred = hasattr(func, "_wrapped_async_rpc_function")
    direct = isinstance(func, Op)  # torch runs its own operators outside of Python, and hands on what they raise
    packed = _wire.pack((func, tuple(args or ()), dict(kwargs or {})))
    future = Future()

    def fail(error: Exception) -> None:
        settle(future, error=error if direct else _as_remote(error, keep))

    def finish(value: Any) -> None:
        with autograd._entered(context):
            try:
                value = value if keep else _wire.unpack(_wire.pack(value))
            except Exception as error:
                fail(error)
            else:
                settle(future, value)

    def finish_later(done: Future) -> None:
        try:
            value = done.value()
        except Exception as error:
            fail(error)
        else:
            finish(value)

    def run() -> None:
        with autograd._entered(context):
            try:
                function, positional, named = _wire.unpack(packed)
                value = function(*positional, **named)
                if deferred and not isinstance(value, Future):
                    raise RuntimeError(
                        "Functions decorated with @rpc.functions.async_execution must return a torch.futures.Future, "
                        f"but this one returned {type(value)}"
                    )
            except Exception as error:
                fail(error)
                return
        if deferred:
            value.add_done_callback(finish_later)
        else:
            finish(value)

    here.submit(run, future, timeout)
    return future
