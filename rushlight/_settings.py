"""Owns torch's process-wide switches: matrix precision, threads, determinism, warnings.

May import jax, devices, hooks and the standard library.
"""

from __future__ import annotations

import os
import warnings

import jax

from . import _device as devices
from ._graph.modes import is_anomaly_enabled, state
from ._hooks import changes

_PRECISION = {"highest": "highest", "high": "high", "medium": "default"}


class _Switches:
    precision = "highest"
    deterministic = False
    warn_only = False
    warn_always = False


def set_float32_matmul_precision(precision: str) -> None:
    """How precisely accelerators multiply float32 matrices: ``"highest"``, ``"high"`` or ``"medium"``."""
    if precision not in _PRECISION:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current setFloat32MatmulPrecision call has "
            "no effect.",
            stacklevel=2,
        )
        return
    changes.replace(_Switches, "precision", _Switches.precision)
    _Switches.precision = precision
    jax.config.update("jax_default_matmul_precision", _PRECISION[precision] if precision != "highest" else None)


def get_float32_matmul_precision() -> str:
    """What ``set_float32_matmul_precision`` was last given."""
    return _Switches.precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for results that do not change from run to run; on the CPU they never do.

    Raises:
        NotImplementedError: there is a GPU, for which XLA reads the switch when the process starts.
    """
    flag = "--xla_gpu_deterministic_ops=true"
    if mode and devices.present("cuda") and flag not in os.environ.get("XLA_FLAGS", ""):
        message = (
            "use_deterministic_algorithms(True) on a GPU is not supported by rushlight once the process runs. "
            f"Set XLA_FLAGS={flag} before it starts."
        )
        if not warn_only:
            raise NotImplementedError(message)
        warnings.warn(message, stacklevel=2)
    changes.replace(_Switches, "deterministic", _Switches.deterministic)
    _Switches.deterministic, _Switches.warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether ``use_deterministic_algorithms(True)`` was called."""
    return _Switches.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether it was called with ``warn_only=True``."""
    return _Switches.warn_only


def set_deterministic_debug_mode(debug_mode) -> None:
    """``"default"`` (0), ``"warn"`` (1) or ``"error"`` (2): see ``use_deterministic_algorithms``."""
    modes = {"default": 0, "warn": 1, "error": 2}
    mode = modes.get(debug_mode, debug_mode)
    if mode not in (0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected `default`, `warn`, `error`, 0, 1 or 2, but got {debug_mode}"
        )
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: see ``set_deterministic_debug_mode``."""
    return (1 if _Switches.warn_only else 2) if _Switches.deterministic else 0


def get_num_threads() -> int:
    """How many threads XLA may use on the CPU."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


get_num_interop_threads = get_num_threads


def set_num_threads(n: int) -> None:
    """Accepted with a warning where it would change anything: XLA fixes its threads when the process starts."""
    if n <= 0:
        raise RuntimeError("set_num_threads expects a positive integer")
    if n != get_num_threads():
        warnings.warn(
            f"set_num_threads({n}) has no effect: XLA keeps {get_num_threads()} threads. Start the process with fewer "
            "CPUs instead, for example with taskset.",
            stacklevel=2,
        )


def set_num_interop_threads(n: int) -> None:
    """See ``set_num_threads``."""
    set_num_threads(n)


def set_flush_denormal(mode: bool) -> bool:
    """Always False, which is how torch says that the processor cannot: XLA decides on denormal numbers itself."""
    return False


def set_warn_always(b: bool, /) -> None:
    """Python's warning filters decide how often a warning is shown; the flag is kept for ``is_warn_always_enabled``."""
    _Switches.warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What ``set_warn_always`` was last given."""
    return _Switches.warn_always


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch on or off what ``autograd.set_detect_anomaly`` switches for a while."""
    state.anomaly, state.anomaly_check_nan = bool(mode), bool(check_nan)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for nan."""
    return state.anomaly_check_nan


__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_anomaly_check_nan_enabled", "is_anomaly_enabled",
    "is_deterministic_algorithms_warn_only_enabled", "is_warn_always_enabled", "set_anomaly_enabled",
    "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads",
    "set_num_threads", "set_warn_always", "use_deterministic_algorithms",
]  # fmt: skip
