"""``torch.cpu``: what there is to ask of the CPU, which is always there. May import amp."""

from __future__ import annotations

import contextlib
from typing import Any

from . import amp as amp


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1: the CPU is one device."""
    return 1


def current_device() -> str:
    """``"cpu"``."""
    return "cpu"


def set_device(device: Any) -> None:
    """Accepted; there is one CPU."""


def synchronize(device: Any = None) -> None:
    """Accepted; work on the CPU is done when its call returns."""


class Stream:
    """Accepted where a stream is expected; the CPU has no queues.

    Args:
        priority: accepted.
    """

    def __init__(self, priority: int = -1) -> None:
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for."""


def current_stream(device: Any = None) -> Stream:
    """A stream that stands for the CPU."""
    return Stream()


@contextlib.contextmanager
def stream(stream: Any):
    """Accepted; the block runs as any other."""
    yield
