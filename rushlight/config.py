"""Owns the process-wide settings: 64-bit types, dispatch, the allocator; applied once, when rushlight is imported.

May import jax and the standard library. ``RUSHLIGHT_NO_TUNING=1`` leaves everything but the 64-bit types as it is.
"""

from __future__ import annotations

import ctypes
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


def apply() -> None:
    """Apply the settings; rushlight's first import calls this."""
    import jax

    jax.config.update("jax_enable_x64", True)
    if os.environ.get("RUSHLIGHT_NO_TUNING"):
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if sys.platform == "linux":
        _keep_freed_memory()
