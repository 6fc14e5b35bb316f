"""Owns ``torch.profiler``: torch's schedule and context manager over JAX's profiler, and a table of what took time.

May import jax, _errors and the standard library.
"""

from __future__ import annotations

import enum
import glob
import gzip
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ContextDecorator
from dataclasses import dataclass
from typing import Any

from ._errors import missing_name, not_supported


class ProfilerActivity(enum.Enum):
    """What to record; JAX's profiler records every device that it has."""

    CPU = 0
    XPU = 1
    CUDA = 2
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a profiler does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What can be recorded here."""
    import jax

    present = {ProfilerActivity.CPU}
    if any(device.platform == "gpu" for device in jax.devices()):
        present.add(ProfilerActivity.CUDA)
    return present


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """A plan of what to do in each step: wait, warm up, record, and begin again.

    Args:
        wait, warmup, active: how many steps of each make a cycle.
        repeat: how many cycles; 0 for no end.
        skip_first: steps before the first cycle.
        skip_first_wait: whether the first cycle leaves out its waiting, where not 0.

    Raises:
        AssertionError: a negative number, or nothing to record.

    Example:
        >>> plan = schedule(wait=1, warmup=1, active=2)
        >>> [plan(step).name for step in range(4)]
        ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError(
            "Invalid profiler schedule arguments: expected wait, warmup, repeat and skip_first of 0 or more and active "
            f"above 0, received {wait}, {warmup}, {repeat}, {skip_first} and {active}"
        )

    def plan(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        step += wait if skip_first_wait else 0
        cycle, at = divmod(step, wait + warmup + active)
        if (repeat and cycle >= repeat) or at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < wait + warmup + active - 1 else ProfilerAction.RECORD_AND_SAVE

    return plan


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False, use_python_export: bool = False
) -> Callable[[profile], None]:
    """A function for ``on_trace_ready`` that writes each trace into a folder, under a name of its own."""

    def handler(done: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        ending = "pt.trace.json" + (".gz" if use_gzip else "")
        done.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.{ending}"))

    return handler


class record_function(ContextDecorator):
    """Name a part of a program in the trace: a ``with`` block, or a decorator.

    Args:
        name: what the trace shows.
        args: shown beside it.
    """

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args, self._open = name, args, []

    def __enter__(self) -> record_function:
        import jax

        mark = jax.profiler.TraceAnnotation(self.name, **({"args": self.args} if self.args else {}))
        mark.__enter__()
        self._open.append(mark)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._open.pop().__exit__(*exc)


@dataclass
class _Row:
    """All events of one name; times in microseconds."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """Microseconds for one event."""
        return self.cpu_time_total / self.count


class EventList(list):
    """Rows of a trace, which ``table`` prints."""

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_name_column_width: int = 55) -> str:
        """The rows as text, the longest total time first.

        Raises:
            NotImplementedError: another order than by ``cpu_time_total``, ``cpu_time`` or ``count``.
        """
        if sort_by not in (None, "cpu_time_total", "cpu_time", "count"):
            raise not_supported(
                f"table(sort_by={sort_by!r})", "Sort by 'cpu_time_total', 'cpu_time' or 'count', which JAX's trace has."
            )
        rows = sorted(self, key=lambda row: getattr(row, sort_by or "cpu_time_total"), reverse=True)[:row_limit]
        width = max([4, *(min(len(row.key), max_name_column_width) for row in rows)])
        lines = [f"{'Name':<{width}}  {'Total us':>12}  {'Calls':>7}  {'us a call':>12}"]
        for row in rows:
            name = row.key[:width]
            lines.append(f"{name:<{width}}  {row.cpu_time_total:>12.1f}  {row.count:>7}  {row.cpu_time:>12.1f}")
        return "\n".join(lines)

    __str__ = table


class profile:
    """Record what runs, and when, with JAX's profiler.

    Args:
        activities: JAX records all devices it has; naming one that is absent is an error.
        schedule: which steps to record; default: all between entering and leaving.
        on_trace_ready: called with this object whenever a recording ends.
        with_stack: record Python's calls too.
        record_shapes, profile_memory, with_flops, with_modules: not supported.

    Raises:
        NotImplementedError: an option that JAX's trace has nothing for.

    Example:
        >>> import rushlight as torch
        >>> with torch.profiler.profile() as prof, torch.profiler.record_function("mine"):
        ...     _ = torch.ones(10).sum()
        >>> [row.count for row in prof.key_averages() if row.key == "mine"]
        [1]
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        acc_events: bool = False,
    ):
        for name, value, instead in (
            ("record_shapes", record_shapes, "The trace names XLA's operations; leave it out."),
            ("profile_memory", profile_memory, "Call jax.profiler.save_device_memory_profile(path)."),
            ("with_flops", with_flops, "rushlight.inspect.summary(model, input) counts them."),
            ("with_modules", with_modules, "Name parts with torch.profiler.record_function."),
        ):
            if value:
                raise not_supported(f"torch.profiler.profile({name}=True)", instead)
        self._schedule, self._ready, self._stack = schedule, on_trace_ready, with_stack
        self._events: list[dict] = []
        self._recording: str | None = None
        self.step_num = 0

    def _action(self) -> ProfilerAction:
        return self._schedule(self.step_num) if self._schedule else ProfilerAction.RECORD

    def _begin(self) -> None:
        import jax

        self._recording = tempfile.mkdtemp(prefix="rushlight-trace-")
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 1 if self._stack else 0
        jax.profiler.start_trace(self._recording, profiler_options=options)

    def _end(self) -> None:
        import jax

        folder, self._recording = self._recording, None
        assert folder is not None
        try:
            jax.profiler.stop_trace()
            (path,) = glob.glob(os.path.join(folder, "**", "*.trace.json.gz"), recursive=True)
            with gzip.open(path, "rt") as file:
                self._events = [event for event in json.load(file)["traceEvents"] if event]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if self._ready is not None:
            self._ready(self)

    def start(self) -> None:
        """Begin; a ``with`` block does it."""
        if self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._begin()

    def stop(self) -> None:
        """End; a ``with`` block does it."""
        if self._recording is not None:
            self._end()

    def step(self) -> None:
        """Say that the next step begins."""
        before = self._action()
        self.step_num += 1
        if self._schedule is None:
            return
        wanted = self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._recording is not None and (before is ProfilerAction.RECORD_AND_SAVE or not wanted):
            self._end()
        if wanted and self._recording is None:
            self._begin()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def _need(self) -> None:
        if not self._events:
            raise RuntimeError(
                "Profiler didn't finish running: expected a recording, received none; leave the block first"
            )

    def export_chrome_trace(self, path: str) -> None:
        """Write the last recording for chrome://tracing or Perfetto; a name that ends in ``.gz`` is compressed.

        Raises:
            RuntimeError: nothing is recorded yet.
        """
        self._need()
        text = json.dumps({"displayTimeUnit": "ns", "traceEvents": self._events})
        with gzip.open(path, "wt") if path.endswith(".gz") else open(path, "w") as file:
            file.write(text)

    def events(self) -> EventList:
        """The last recording, one row for each event."""
        self._need()
        return EventList(
            _Row(event["name"], 1, event["dur"]) for event in self._events if event.get("ph") == "X" and "dur" in event
        )

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """The last recording, the events of one name added up.

        Raises:
            NotImplementedError: grouping by shapes or stacks.
            RuntimeError: nothing is recorded yet.
        """
        if group_by_input_shape or group_by_stack_n:
            raise not_supported("key_averages by shapes or stacks", "Group by name, the default.")
        rows: dict[str, _Row] = {}
        for event in self.events():
            row = rows.setdefault(event.key, _Row(event.key))
            row.count += 1
            row.cpu_time_total += event.cpu_time_total
        return EventList(rows.values())


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule", "supported_activities",
    "tensorboard_trace_handler",
]  # fmt: skip
