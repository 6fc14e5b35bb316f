"""Owns ``DistributedDataParallel``: the wrapper, in a group of one process.

May import Module and the devices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..._errors import not_supported
from ..modules.module import Module
from ._inputs import first_device, moved


class DistributedDataParallel(Module):
    """A model as attribute ``module`` of another; in a group of one process, gradients need no exchange.

    Works without ``init_process_group`` too. What steers the exchange of gradients is accepted: with one process there
    is none.

    Args:
        module: the model; at least one parameter requires grad.
        device_ids: the one device to move inputs to; None leaves them.
        output_device, dim, broadcast_buffers, init_sync, process_group, bucket_cap_mb, find_unused_parameters,
            check_reduction, gradient_as_bucket_view, static_graph, delay_all_reduce_named_params,
            param_to_hook_all_reduce, mixed_precision, device_mesh, skip_all_reduce_unused_params: as in torch.

    Shape: those of ``module``.

    Raises:
        RuntimeError: no parameter requires grad.
        ValueError: more than one device.
        NotImplementedError: ``mixed_precision`` or ``device_mesh``.

    Example:
        >>> from rushlight import nn
        >>> list(nn.parallel.DistributedDataParallel(nn.Linear(2, 3)).state_dict())
        ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None,
        bucket_cap_mb: float | None = None, find_unused_parameters: bool = False, check_reduction: bool = False,
        gradient_as_bucket_view: bool = False, static_graph: bool = False, delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None, mixed_precision: Any = None, device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if mixed_precision is not None or device_mesh is not None:
            name = "mixed_precision" if mixed_precision is not None else "device_mesh"
            raise not_supported(f"DistributedDataParallel({name}=...)", "Leave it at None.")
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when module doesn't have any parameters that require a gradient."
            )
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError("device_ids can only be None or contain a single element.")
        self.module = module
        self.device_ids = None if not device_ids else list(device_ids)
        self.output_device = output_device
        self.dim = dim
        self.process_group = process_group
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the model."""
        where = first_device(self.device_ids) if self.device_ids else None
        return self.module(*moved(inputs, where), **moved(kwargs, where))

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients are not exchanged inside the block, so that they can be accumulated first."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextlib.contextmanager
    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Iterator[None]:
        """Let processes with fewer batches wait for the others; with one process there are none."""
        yield

    def register_comm_hook(self, state: object, hook: Callable) -> None:
        """Not supported: gradients are not exchanged.

        Raises:
            NotImplementedError: always.
        """
        raise not_supported(
            "DistributedDataParallel.register_comm_hook", "Change gradients with parameter.register_hook."
        )


__all__ = ["DistributedDataParallel"]
