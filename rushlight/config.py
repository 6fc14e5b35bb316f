"""Owns the process-wide settings: 64-bit types, dispatch, the allocator, kept programs; applied once, on import.

May import jax and the standard library. ``RUSHLIGHT_NO_TUNING=1`` leaves everything but the 64-bit types as it is.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys


def _keep_freed_memory() -> None:
    """Stop glibc from unmapping large blocks: XLA:CPU asks for one large temporary per call, and page faults cost
    more than the step itself. Peak memory grows in exchange and is not returned."""
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_arena_max, 1)
    except (OSError, AttributeError):
        return


def _machine() -> str:
    """A name for the kind and number of processors: compiled programs use all instructions and are cut up for as many
    threads as there are, and homes may be shared."""
    import hashlib
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            traits = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        traits = platform.processor()
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.machine()}-{count}-{hashlib.sha256(traits.encode()).hexdigest()[:12]}"


def _keep_programs(jax) -> None:
    """Keep compiled programs in the user's cache folder, so that a second process starts without compiling."""
    if jax.config.jax_compilation_cache_dir:
        return
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(root, "rushlight", "xla", _machine())
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# Multiply-adds. LeNet's two convolutions take 100 us for one picture on one thread, 140 on Eigen's; 3.5 ms against 2.9
# for 64 pictures.
LARGE_CONVOLUTION = 2e7
_CONVOLUTIONS = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}


def convolution_options(work: float) -> dict | None:
    """XLA settings for a program with convolutions: large ones run on Eigen's threads, small ones on one of their own.

    Args:
        work: multiply-adds of all of them.
    """
    import jax

    return _CONVOLUTIONS if work > LARGE_CONVOLUTION and jax.default_backend() == "cpu" else None


_collecting = False


def apply() -> None:
    """Apply the settings; rushlight's first import begins with this, and ends with ``imported``."""
    global _collecting
    # Nothing that importing makes is garbage, and looking for it takes as long as all the rest.
    _collecting = gc.isenabled()
    gc.disable()
    try:
        _apply()
    except BaseException:
        imported()
        raise


def imported() -> None:
    """Collect garbage again."""
    if _collecting:
        gc.enable()


def _apply() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    # Looking for accelerators that are not there is no news to a program that logs at level INFO.
    search = logging.getLogger("jax._src.xla_bridge")
    if search.level == logging.NOTSET:
        search.setLevel(logging.WARNING)
    if os.environ.get("RUSHLIGHT_NO_TUNING"):
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    _keep_programs(jax)
    if sys.platform == "linux":
        _keep_freed_memory()
