"""Owns the functions that PyTorch has for sizes it does not know yet, and the questions about how it was built.

May import the tensor cell. Sizes are always known here: the functions work on numbers.
"""

from __future__ import annotations

import builtins
import importlib
import math
from typing import Any

from .. import _device as devices
from .._tensor.tensor import Tensor

has_lapack, has_mkl, has_openmp, has_spectral = True, False, False, True


class SymInt:
    """The type of sizes that are not known yet; every size is an ``int`` here, so nothing is one."""


class SymFloat:
    """The type of numbers that are not known yet; nothing is one."""


class SymBool:
    """The type of comparisons of sizes that are not known yet; nothing is one."""


def sym_int(a) -> int:
    """The number without its fraction."""
    return math.trunc(a)


def sym_float(a) -> float:
    """The number as a float."""
    return float(a)


def sym_max(a, b):
    """The larger number; a float where one of them is."""
    larger = builtins.max(a, b)
    return float(larger) if isinstance(a, float) or isinstance(b, float) else larger


def sym_min(a, b):
    """The smaller number; a float where one of them is."""
    smaller = builtins.min(a, b)
    return float(smaller) if isinstance(a, float) or isinstance(b, float) else smaller


def sym_not(a) -> bool:
    """The opposite."""
    return not a


def sym_ite(b, t, f):
    """``t`` if ``b``, else ``f``."""
    return t if b else f


def sym_sqrt(a) -> float:
    """The square root."""
    return math.sqrt(a)


def sym_sum(args):
    """The sum of several numbers."""
    return builtins.sum(args)


def compiled_with_cxx11_abi() -> bool:
    """Whether C++ libraries with today's strings would fit; there are none, so nothing can clash."""
    return True


def is_vulkan_available() -> bool:
    """Whether there are Vulkan devices: XLA has none."""
    return False


def cudnn_is_acceptable(tensor: Tensor) -> bool:
    """Whether PyTorch would call cuDNN by itself: XLA chooses its kernels."""
    return False


def init_num_threads() -> None:
    """Nothing: XLA's threads are ready when it is."""


def get_device_module(device: Any = None):
    """The module of a type of devices: ``torch.cpu``, ``torch.cuda``, ``torch.xpu`` or ``torch.mps``.

    Args:
        device: a device or its name; default: that of the accelerator, or ``torch.cpu`` where there is none.

    Raises:
        RuntimeError: there is no such module.

    Example:
        >>> import rushlight as torch
        >>> torch.get_device_module("cpu") is torch.cpu
        True
    """
    package = __name__.partition(".")[0]
    if device is None:
        found = importlib.import_module(f"{package}.accelerator").current_accelerator()
        kind = "cpu" if found is None else found.type
    else:
        kind = str(device).partition(":")[0] if isinstance(device, str) else devices.device(device).type
    if kind not in ("cpu", "cuda", "mps", "xpu"):
        raise RuntimeError(f"Invalid value of device module '{kind}': expected cpu, cuda, mps or xpu.")
    return importlib.import_module(f"{package}.{kind}")


__all__ = [
    "SymBool", "SymFloat", "SymInt", "compiled_with_cxx11_abi", "cudnn_is_acceptable", "get_device_module",
    "has_lapack", "has_mkl", "has_openmp", "has_spectral", "init_num_threads", "is_vulkan_available", "sym_float",
    "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip
