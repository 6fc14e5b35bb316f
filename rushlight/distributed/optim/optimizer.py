"""Owns the optimizer of parameters that workers hold: each worker's are updated there, with gradients of a context.

May import optim, the gradients' contexts, remote calls and _errors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ... import optim
from ..._errors import missing_name
from .. import autograd, rpc

# For these, torch's workers use functions that leave .grad alone; the others set it, and leave it there.
_FUNCTIONAL = (
    optim.Adagrad, optim.Adam, optim.AdamW, optim.SGD, optim.Adadelta, optim.RMSprop, optim.Rprop, optim.Adamax,
)  # fmt: skip
# Two of those functions have another default than the class.
_DEFAULT_LR: dict = {optim.SGD: 1e-2, optim.Adamax: 1e-3}


class _Local:
    """The optimizer of one worker."""

    lock = threading.Lock()

    def __init__(self, kind: Callable[..., Any], params: Sequence[rpc.RRef], args: tuple, kwargs: dict):
        self.params = [ref.local_value() for ref in params]
        if kind in _DEFAULT_LR and not args:
            kwargs = {"lr": _DEFAULT_LR[kind], **kwargs}
        self.optim, self.tidy = kind(self.params, *args, **kwargs), kind in _FUNCTIONAL

    def step(self, context_id: int) -> None:
        gradients = autograd.get_gradients(context_id)
        with self.lock:
            if not self.tidy:
                for tensor, gradient in gradients.items():
                    tensor.grad = gradient
                self.optim.step()
                return
            before = [param.grad for param in self.params]
            try:
                for param in self.params:
                    param.grad = gradients.get(param)
                self.optim.step()
            finally:
                for param, gradient in zip(self.params, before, strict=True):
                    param.grad = gradient


def _make(kind: Callable[..., Any], params: Sequence[rpc.RRef], args: tuple, kwargs: dict) -> rpc.RRef:
    return rpc.RRef(_Local(kind, params, args, kwargs))


def _step(local: rpc.RRef, context_id: int) -> None:
    local.local_value().step(context_id)


class DistributedOptimizer:
    """An optimizer of parameters that workers hold.

    Args:
        optimizer_class: the optimizer.
        params_rref: references to the parameters.
        args, kwargs: the optimizer's arguments.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed import autograd, optim, rpc
        >>> rpc.init_rpc("worker0", rank=0, world_size=1)
        >>> x = torch.ones(2, requires_grad=True)
        >>> optimizer = optim.DistributedOptimizer(torch.optim.SGD, [rpc.RRef(x)], lr=0.5)
        >>> with autograd.context() as context_id:
        ...     autograd.backward(context_id, [(2 * x).sum()])
        ...     optimizer.step(context_id)
        >>> x
        tensor([0., 0.], requires_grad=True)
        >>> rpc.shutdown()
    """

    def __init__(self, optimizer_class: Callable[..., Any], params_rref: Sequence[rpc.RRef], *args: Any, **kwargs: Any):
        by_worker: dict = {}
        for ref in params_rref:
            by_worker.setdefault(ref.owner(), []).append(ref)
        self.is_functional_optim = optimizer_class in _FUNCTIONAL
        self.remote_optimizers = [
            rpc.rpc_sync(worker, _make, (optimizer_class, refs, args, kwargs)) for worker, refs in by_worker.items()
        ]

    def step(self, context_id: int) -> None:
        """Update the parameters, each on its worker.

        Args:
            context_id: whose gradients.

        Raises:
            RuntimeError: no such context.
        """
        autograd._is_valid_context(context_id)
        for local in self.remote_optimizers:
            rpc.rpc_sync(local.owner(), _step, (local, context_id))


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["DistributedOptimizer"]
