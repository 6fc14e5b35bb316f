"""Owns ``torch.cuda.streams``: streams, which JAX orders by data alone, and events, which measure time.

May import devices.
"""

from __future__ import annotations

import time
from typing import Any

import jax

from .. import _device as devices


def _gpu(where: Any) -> Any:
    """The JAX device; raises torch's kind of error where there is none."""
    found = devices.present("cuda")
    if not found:
        raise RuntimeError(
            "Found no GPU: expected a device that JAX reports as 'gpu', present are "
            f"{', '.join(map(str, devices.available()))}. Ask torch.cuda.is_available() first."
        )
    if isinstance(where, int):
        where = devices.device("cuda", where)
    return devices.jax_device(devices.resolve("cuda" if where is None else where))


def _wait(device: Any) -> None:
    jax.block_until_ready(jax.device_put(0, device))


class Stream:
    """A queue of work. JAX keeps the order that data needs by itself, so any two streams stand for the same one.

    Args:
        device: which GPU.
        priority: no matter, with one queue.

    Raises:
        RuntimeError: there is no GPU.
    """

    def __init__(self, device: Any = None, priority: int = 0):
        self._device, self.priority = _gpu(device), priority

    def synchronize(self) -> None:
        """Wait until everything sent to the GPU is done."""
        _wait(self._device)

    def query(self) -> bool:
        """Whether everything is done; waits for it."""
        self.synchronize()
        return True

    def wait_stream(self, stream: Stream) -> None:
        """Nothing to wait for: what needs the other's results waits for them."""

    def wait_event(self, event: Event) -> None:
        """Nothing to wait for: what needs earlier results waits for them."""

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this point in time."""
        event = Event() if event is None else event
        event.record(self)
        return event


class Event:
    """A point in time on the GPU: ``record`` waits until the work sent so far is done, and looks at the clock.

    Args:
        enable_timing: torch measures only then; here always.
        blocking, interprocess: how to wait; one way here.

    Raises:
        RuntimeError: there is no GPU.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self._device = _gpu(None)
        self._at: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Wait for the work sent so far, and note the time."""
        _wait(self._device if stream is None else stream._device)
        self._at = time.perf_counter()

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing to wait for: ``record`` has waited."""

    def synchronize(self) -> None:
        """Nothing to wait for: ``record`` has waited."""

    def query(self) -> bool:
        """Whether the work before ``record`` is done: it is."""
        return True

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another.

        Raises:
            RuntimeError: one of the two was not recorded.
        """
        if self._at is None or end_event._at is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return 1000 * (end_event._at - self._at)


def current_stream(device: Any = None) -> Stream:
    """The stream in use; there is one."""
    return Stream(device)


default_stream = current_stream


class StreamContext:
    """A block whose work goes to a stream: the same for all, so the block runs as any other.

    Args:
        stream: which.
    """

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None


def stream(stream: Stream | None) -> StreamContext:
    """A block whose work goes to a stream."""
    return StreamContext(stream)


__all__ = ["Event", "Stream", "StreamContext", "current_stream", "default_stream", "stream"]
