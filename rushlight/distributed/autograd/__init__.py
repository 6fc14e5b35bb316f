"""Owns gradients across remote calls: contexts that collect them apart from ``.grad``.

May import the tape's walk and the tensor cell.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..._errors import missing_name
from ..._graph import engine
from ..._graph.engine import Values
from ..._tensor.tensor import Tensor
from ...autograd import _one


def is_available() -> bool:
    """Whether the package is there."""
    return True


class DistAutogradContext:
    """One forward and backward pass: the gradients that it has given.

    Args:
        context_id: its number.
    """

    def __init__(self, context_id: int):
        self._id = context_id
        self._gradients: dict[Tensor, Tensor] = {}
        self._lock = threading.Lock()

    def _context_id(self) -> int:
        return self._id

    def _add(self, leaf: Tensor, gradient: Any) -> None:
        with self._lock:
            held = self._gradients.get(leaf)
            self._gradients[leaf] = Values.wrap(gradient if held is None else Values.add(held._array(), gradient))


class _Here(threading.local):
    context: DistAutogradContext | None = None


_here, _live, _ids = _Here(), {}, itertools.count()
_ready = [False]


def _init(worker_id: int) -> None:
    """Begin: ``init_rpc`` calls this."""
    _ready[0] = True


def _current() -> DistAutogradContext | None:
    return _here.context


@contextmanager
def _entered(context: DistAutogradContext | None) -> Iterator[None]:
    """A block that runs for a call made in ``context``, in whatever thread."""
    before, _here.context = _here.context, context
    try:
        yield
    finally:
        _here.context = before


def _new_context() -> DistAutogradContext:
    if not _ready[0]:
        raise RuntimeError(
            "Need to initialize distributed autograd using torch.distributed.autograd.init(): call "
            "torch.distributed.rpc.init_rpc first"
        )
    if _here.context is not None:
        raise RuntimeError(f"Already have an autograd context id for this thread. It is {_here.context._id}")
    made = DistAutogradContext(next(_ids))
    _live[made._id] = _here.context = made
    return made


def _retrieve_context(context_id: int) -> DistAutogradContext:
    found = _live.get(context_id)
    if found is None:
        raise RuntimeError(f"Could not find autograd context with id: {context_id}")
    return found


_is_valid_context = _retrieve_context


def _current_context() -> DistAutogradContext:
    """The context of this thread.

    Raises:
        RuntimeError: there is none.
    """
    if _here.context is None:
        raise RuntimeError(
            "Current thread doesn't have a valid autograd context. Please wrap your code using: `with "
            "torch.distributed.autograd.context() as context_id` to generate a valid context"
        )
    return _here.context


def _release_context(context_id: int) -> None:
    gone = _retrieve_context(context_id)
    del _live[context_id]
    if _here.context is gone:
        _here.context = None


class context:
    """A block around a forward and a backward pass; gives the number by which ``backward`` knows it.

    Raises:
        RuntimeError: ``init_rpc`` was not called, or the thread is in such a block already.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.rpc.init_rpc("worker0", rank=0, world_size=1)
        >>> x = torch.ones(2, requires_grad=True)
        >>> with torch.distributed.autograd.context() as context_id:
        ...     y = torch.distributed.rpc.rpc_sync("worker0", torch.mul, args=(x, 3))
        ...     torch.distributed.autograd.backward(context_id, [y.sum()])
        ...     print(torch.distributed.autograd.get_gradients(context_id)[x], x.grad)
        tensor([3., 3.]) None
        >>> torch.distributed.rpc.shutdown()
    """

    def __enter__(self) -> int:
        self.autograd_context = _new_context()
        return self.autograd_context._context_id()

    def __exit__(self, *exc: Any) -> None:
        _release_context(self.autograd_context._context_id())


def backward(context_id: int, roots: Sequence[Tensor], retain_graph: bool = False) -> None:
    """Add the gradients of ``roots`` to those of a context; no ``.grad`` changes.

    Args:
        context_id: what the block around the forward pass gave.
        roots: scalars.
        retain_graph: keep the graph for another pass.

    Raises:
        RuntimeError: no such context, no roots, or a root that has no gradient or is no scalar.
    """
    collected = _retrieve_context(context_id)
    if not roots:
        raise RuntimeError("No tensors provided for gradient computation.")
    starts = []
    for root in roots:
        edge = root._edge()
        if edge is None:
            raise RuntimeError("requires_grad not set on root")
        if root.numel() != 1:
            raise RuntimeError(f"{root.name or 'root'} is not a scalar, all roots need to be scalar")
        if edge[1] is None:
            raise RuntimeError("root does not have a valid gradient function. Expected a result, received a leaf")
        starts.append((edge, _one(root)))
    leaves = list({id(edge[0]): edge for edge in engine.leaf_edges(edge for edge, _ in starts)}.values())
    given = engine.backward(starts, keep_graph=retain_graph, wanted=leaves, accumulate=False)
    for leaf, _ in leaves:
        if id(leaf) in given:
            collected._add(leaf, given[id(leaf)])


def get_gradients(context_id: int) -> dict[Tensor, Tensor]:
    """The gradients that a context has collected, by tensor.

    Args:
        context_id: what the block gave.

    Raises:
        RuntimeError: no such context.
    """
    return dict(_retrieve_context(context_id)._gradients)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["backward", "context", "get_gradients", "is_available"]
