"""Owns the few names of ``torch._C``, PyTorch's compiled part, that programs probe from Python.

May import the tensor cell, random, the record of ONNX operators and _errors.
"""

from __future__ import annotations

import enum
from importlib import import_module
from typing import Any

from . import accelerator
from ._device import device
from ._errors import missing_name
from ._tensor.overriding import DisableTorchFunction, DisableTorchFunctionSubclass, disabled, local
from ._tensor.tensor import Tensor
from .dtypes import Size, dtype
from .onnx._graph import Graph, Node, TensorType, Value
from .random.generator import Generator

TensorBase = Tensor


def _get_tracing_state() -> None:
    """What ``torch.jit.trace`` is recording: nothing, ever."""


def _log_api_usage_once(event: str) -> None:
    """Accepted: nothing is logged."""


_disabled_torch_function_impl = disabled


def _is_torch_function_enabled() -> bool:
    """Whether classes take functions over now."""
    return local.enabled and local.subclasses


def _is_torch_function_mode_enabled() -> bool:
    """Whether a mode takes functions over now."""
    return local.enabled and bool(local.modes)


def _len_torch_function_stack() -> int:
    """How many modes are active."""
    return len(local.modes)


def _get_function_stack_at(level: int) -> Any:
    """The active mode at a place of the stack, the outermost first."""
    return local.modes[level]


def _jit_set_profiling_executor(enabled: bool) -> bool:
    """Accepted: a setting of TorchScript, which nothing runs; gives what it was before, ``False``."""
    return False


# More settings of TorchScript that packages make, all of the same kind.
_jit_set_profiling_mode = _jit_set_nvfuser_enabled = _jit_set_texpr_fuser_enabled = _jit_set_profiling_executor
_jit_override_can_fuse_on_cpu = _jit_override_can_fuse_on_gpu = _jit_set_autocast_mode = _jit_set_profiling_executor


def _jit_can_fuse_on_cpu() -> bool:
    """Whether TorchScript's fuser works on the CPU: it is not there."""
    return False


_jit_can_fuse_on_gpu = _jit_can_fuse_on_cpu


def _get_accelerator(check: bool | None = None) -> device:
    """The accelerator that JAX has, as a device without index; the CPU where it has none.

    Args:
        check: accepted: JAX looks at start.
    """
    return accelerator.current_accelerator() or device("cpu")


class DispatchKey(enum.Enum):
    """The places of PyTorch's dispatcher that packages name around autocast; nothing is dispatched by them."""

    CPU = "CPU"
    CUDA = "CUDA"
    Meta = "Meta"
    AutogradCPU = "AutogradCPU"
    AutogradCUDA = "AutogradCUDA"
    AutocastCPU = "AutocastCPU"
    AutocastCUDA = "AutocastCUDA"
    AutocastXPU = "AutocastXPU"


class DispatchKeySet:
    """Several of them, joined by ``|``.

    Args:
        key: the first.
    """

    def __init__(self, key: DispatchKey):
        self._keys = frozenset([key])

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        joined = DispatchKeySet(next(iter(self._keys)))
        joined._keys = self._keys | other._keys
        return joined

    def has(self, key: DispatchKey) -> bool:
        """Whether ``key`` is among them."""
        return key in self._keys


class _Functions:
    """A part of ``torch._C`` that holds functions under longer names than the ones they are public by.

    Args:
        name: where they are public, which is also what their names begin with here.
    """

    def __init__(self, name: str):
        self._module, self._prefix = name, "" if name == "nn.functional" else f"{name}_"

    def __getattr__(self, name: str) -> Any:
        public = "logsigmoid" if name == "log_sigmoid" else name.removeprefix(self._prefix)
        return getattr(import_module(f"{__name__.partition('.')[0]}.{self._module}"), public)


_nn, _linalg, _fft, _special = (_Functions(name) for name in ("nn.functional", "linalg", "fft", "special"))


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "Generator",
    "Graph",
    "Node",
    "Size",
    "TensorBase",
    "TensorType",
    "Value",
    "device",
    "dtype",
]
