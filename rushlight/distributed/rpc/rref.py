"""Owns references to values that a worker holds, and calls of their methods.

May import futures, the worker, the wire, the gradients' contexts and the mark of deferred functions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from ..._tensor.tensor import Tensor
from ...futures import Future
from .. import autograd
from . import _wire
from ._agent import WorkerInfo, agent, call
from .constants import UNSET_RPC_TIMEOUT
from .functions import async_execution

T = TypeVar("T")
_ids = itertools.count()


class RRef(Generic[T]):
    """A reference to a value that a worker holds: here, this one.

    Args:
        value: the value.
        type_hint: accepted: for TorchScript's reader.

    Raises:
        RuntimeError: ``init_rpc`` was not called.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.init_rpc("worker0", rank=0, world_size=1)
        >>> ref = torch.distributed.rpc.RRef([3, 1, 2])
        >>> ref.rpc_sync().index(1), ref.owner_name(), ref.local_value()
        (1, 'worker0', [3, 1, 2])
        >>> torch.distributed.rpc.shutdown()
    """

    _future: Future

    def __init__(self, value: T, type_hint: Any = None):
        self._owner, self._number = agent().info, next(_ids)
        self._future = Future()
        self._future.set_result(value)

    @classmethod
    def _of(cls, future: Future) -> RRef:
        """A reference to what a future will hold."""
        self = object.__new__(cls)
        self._owner, self._number, self._future = agent().info, next(_ids), future
        return self

    def is_owner(self) -> bool:
        """Whether this worker holds the value: yes."""
        return True

    def confirmed_by_owner(self) -> bool:
        """Whether the worker that holds the value knows of this reference: yes."""
        return True

    def owner(self) -> WorkerInfo:
        """The worker that holds the value."""
        return self._owner

    def owner_name(self) -> str:
        """Its name."""
        return self._owner.name

    def to_here(self, timeout: float = UNSET_RPC_TIMEOUT) -> T:
        """The value, once it is there: the worker that asks holds it, so this is no copy.

        Args:
            timeout: accepted: the limit of the call that makes the value counts.

        Raises:
            Exception: what making the value raised.
        """
        return self._future.wait()

    def local_value(self) -> T:
        """The value, once it is there."""
        return self._future.wait()

    def rpc_sync(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """An object whose methods are the value's, called on its worker; they give their results.

        Args:
            timeout: how many seconds a call may take.
        """
        return _Methods(self, lambda *request: call(*request, keep=False).wait(), timeout)

    def rpc_async(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """The same; they give futures."""
        return _Methods(self, partial(call, keep=False), timeout)

    def remote(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """The same; they give references."""
        return _Methods(self, lambda *request: RRef._of(call(*request, keep=True)), timeout)

    def backward(self, dist_autograd_ctx_id: int = -1, retain_graph: bool = False) -> None:
        """Run the backward pass from the value, a scalar tensor.

        Args:
            dist_autograd_ctx_id: the context that collects the gradients; default: they go to ``.grad``.
            retain_graph: keep the graph for another pass.

        Raises:
            RuntimeError: the value is no tensor.
        """
        value = self.local_value()
        if not isinstance(value, Tensor):
            raise RuntimeError(f"RRef should contain a tensor for .backward(), received {type(value).__name__}")
        if dist_autograd_ctx_id == -1:
            value.backward(retain_graph=retain_graph)
        else:
            autograd.backward(dist_autograd_ctx_id, [value], retain_graph)

    def _get_type(self, timeout: float = UNSET_RPC_TIMEOUT, blocking: bool = True) -> Any:
        kind = self._future.then(lambda done: type(done.value()))
        return kind.wait() if blocking else kind

    def _get_future(self) -> Future:
        return self._future

    def __reduce__(self) -> Any:
        raise RuntimeError("Can not pickle rref in python pickler, rref can only be pickled when using RPC")

    def __str__(self) -> str:
        return f"OwnerRRef(GloballyUniqueId(created_on={self._owner.id}, local_id={self._number}))"


PyRRef = RRef
_wire.carried[RRef] = lambda ref: ref  # who holds the value hands out the same reference


def _method(ref: RRef, name: str, args: tuple, kwargs: dict) -> Any:
    return getattr(ref.local_value(), name)(*args, **kwargs)


@async_execution
def _deferred_method(ref: RRef, name: str, args: tuple, kwargs: dict) -> Any:
    return getattr(ref.local_value(), name)(*args, **kwargs)


class _Methods:
    """The methods of a reference's value, each a call to its worker."""

    def __init__(self, ref: RRef, give: Callable, timeout: float):
        self._ref, self._give, self._timeout = ref, give, timeout

    def __getattr__(self, name: str) -> Callable:
        def method(*args: Any, **kwargs: Any) -> Any:
            found = getattr(self._ref._get_type(), name)
            run = _deferred_method if hasattr(found, "_wrapped_async_rpc_function") else _method
            return self._give(run, (self._ref, name, args, kwargs), {}, self._timeout)

        method.__name__ = method.__qualname__ = name
        return method
