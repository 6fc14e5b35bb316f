"""Owns modules that a worker holds and others call: with one process, this one's worker holds them.

May import nn, remote calls and _errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...._errors import missing_name, not_supported
from ...._tensor.tensor import Tensor
from ....nn import Module
from ... import rpc
from ...remote_device import _remote_device
from ...rpc import _wire


def _create(module_cls: Callable, args: tuple, kwargs: dict, device: str) -> Module:
    module = module_cls(*args, **kwargs)
    if not isinstance(module, Module):
        raise ValueError(
            "Expect `module_cls(*args, **kwargs)` returns an instance of <class nn.Module>, but it returns an instance "
            f"of {type(module)}."
        )
    return module.to(device)


def _parameters(module: rpc.RRef, recurse: bool) -> list[rpc.RRef]:
    return [rpc.RRef(parameter) for parameter in module.local_value().parameters(recurse)]


def _forward(module: rpc.RRef, device: str, args: tuple, kwargs: dict) -> Any:
    def there(value: Any) -> Any:
        return value.to(device) if isinstance(value, Tensor) else value

    if device.startswith("cuda"):
        args, kwargs = tuple(map(there, args)), {key: there(value) for key, value in kwargs.items()}
    return module.local_value().forward(*args, **kwargs)


class RemoteModule(Module):
    """A module that a worker holds: ``forward`` runs there, and gradients pass through.

    Args:
        remote_device: where: ``<worker>/<device>`` or ``rank:<number>/<device>``; the device may be left out.
        module_cls: makes the module.
        args, kwargs: its arguments.

    Raises:
        AssertionError: ``init_rpc`` was not called.
        ValueError: what was made is no module; a method of modules that works on their parameters.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed import rpc
        >>> rpc.init_rpc("worker0", rank=0, world_size=1)
        >>> relu = torch.distributed.nn.RemoteModule("worker0/cpu", torch.nn.ReLU)
        >>> relu(torch.tensor([-1.0, 2.0])), relu.forward_async(torch.tensor([-3.0])).wait()
        (tensor([0., 2.]), tensor([0.]))
        >>> rpc.shutdown()
    """

    def __init__(
        self, remote_device: str, module_cls: Callable[..., Module], args: tuple | None = None,
        kwargs: dict[str, Any] | None = None, _module_interface_cls: Any = None,
    ):  # fmt: skip
        super().__init__()
        self._place(remote_device, _module_interface_cls)
        self.module_rref = rpc.remote(self.on, _create, (module_cls, args or (), kwargs or {}, self.device))

    def _place(self, remote_device: str, interface: Any) -> None:
        if interface is not None:
            raise not_supported(
                "RemoteModule(_module_interface_cls=)",
                "Leave it out: there is no TorchScript, and Python runs forward.",
            )
        if not rpc._is_current_rpc_agent_set():
            raise AssertionError("RemoteModule only works in RPC.")
        place = _remote_device(remote_device)
        self.on = place.rank() if place.worker_name() is None else place.worker_name()
        self.device, self.is_device_map_set, self.is_scriptable = str(place.device()), False, False
        rpc.get_worker_info(self.on)

    @staticmethod
    def init_from_module_rref(
        remote_device: str, module_rref: rpc.RRef, _module_interface_cls: Any = None
    ) -> RemoteModule:
        """Another object for the same remote module.

        Args:
            remote_device: where the module is.
            module_rref: the reference to it.
        """
        self = RemoteModule.__new__(RemoteModule)
        Module.__init__(self)
        self._place(remote_device, _module_interface_cls)
        self.module_rref = module_rref
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module's ``forward`` on its worker."""
        return self.forward_async(*args, **kwargs).wait()

    def forward_async(self, *args: Any, **kwargs: Any) -> Any:
        """The same, without waiting.

        Returns:
            Future: the result.
        """
        request = (self.module_rref, self.device, args, kwargs)
        return rpc.rpc_async(self.module_rref.owner(), _forward, request)

    def remote_parameters(self, recurse: bool = True) -> list[rpc.RRef]:
        """References to the module's parameters, for ``torch.distributed.optim.DistributedOptimizer``.

        Args:
            recurse: those of modules inside of it, too.
        """
        return rpc.rpc_sync(self.on, _parameters, (self.module_rref, recurse))

    def get_module_rref(self) -> rpc.RRef:
        """The reference to the module."""
        return self.module_rref

    def train(self, mode: bool = True) -> Any:
        """Put the module in training mode.

        Args:
            mode: accepted: torch does not hand it on either.

        Returns:
            Module: a copy of the module, as it went over the wire.
        """
        return self.module_rref.rpc_sync().train()

    def eval(self) -> Any:
        """Put the module in evaluation mode."""
        return self.module_rref.rpc_sync().eval()

    def __getstate__(self) -> Any:
        raise RuntimeError(
            "Cannot pickle RemoteModule in python pickler. RemoteModule can only be pickled when using RPC"
        )

    def __setstate__(self, state: Any) -> None:
        raise RuntimeError(
            "Cannot unpickle RemoteModule in python pickler. RemoteModule can only be unpickled when using RPC"
        )


def _refused(name: str) -> Callable:
    instead = " Please use ``remote_parameters`` instead." if name == "parameters" else ""

    def method(self: RemoteModule, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(f"Method ``{name}`` not supported for RemoteModule" + (instead and "." + instead))

    method.__name__ = name
    method.__qualname__ = f"RemoteModule.{name}"
    method.__doc__ = "Refused with ValueError, as in torch: what it works on lies with the worker."
    return method


for _name in (
    "register_buffer", "register_parameter", "add_module", "apply", "cuda", "ipu", "xpu", "cpu", "type", "float",
    "double", "half", "bfloat16", "to", "register_backward_hook", "register_forward_pre_hook", "register_forward_hook",
    "state_dict", "load_state_dict", "parameters", "named_parameters", "buffers", "named_buffers", "children",
    "named_children", "modules", "named_modules", "requires_grad_", "zero_grad", "share_memory", "extra_repr",
):  # fmt: skip
    setattr(RemoteModule, _name, _refused(_name))

_wire.carried[RemoteModule] = lambda module: RemoteModule.init_from_module_rref(
    f"{module.on if isinstance(module.on, str) else f'rank:{module.on}'}/{module.device}", module.module_rref
)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["RemoteModule"]
