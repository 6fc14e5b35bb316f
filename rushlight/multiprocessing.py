"""Owns ``torch.multiprocessing``: Python's own module, and torch's ``spawn``.

May import the standard library and _errors.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing import *  # noqa: F403 # pyright: ignore[reportWildcardImportFromLibrary]
from typing import Any

from ._errors import missing_name, not_supported


class ProcessException(Exception):
    """What ``spawn`` raises for a process that failed.

    Args:
        msg: what happened.
        error_index: which process.
        pid: its number.
    """

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid, self.pid = msg, error_index, pid, pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A process ended with a Python exception, whose traceback is in the message."""


class ProcessExitedException(ProcessException):
    """A process ended without one: by a signal or an exit status.

    Args:
        msg, error_index, error_pid: as for ``ProcessException``.
        exit_code: negative for a signal.
        signal_name: its name.
    """

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def _run(fn: Callable, index: int, args: tuple, report: str) -> None:
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # the parent shows it
    except Exception:
        with open(report, "wb") as file:
            pickle.dump(traceback.format_exc(), file)
        raise SystemExit(1) from None


class ProcessContext:
    """The running processes of ``spawn(join=False)``.

    Args:
        processes: what was started.
        reports: for each, the file that a failure is written to.
    """

    def __init__(self, processes: list, reports: list[str]):
        self.processes, self._reports = processes, reports
        self._left = {process.sentinel: index for index, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for one process more to end; whether all have. A failure ends the others.

        Raises:
            ProcessRaisedException: one raised an exception.
            ProcessExitedException: one was killed, or exited.
        """
        if not self._left:
            return True
        failed = None
        for sentinel in multiprocessing.connection.wait(self._left, timeout):
            index = self._left.pop(sentinel)  # type: ignore[arg-type]
            self.processes[index].join()
            if self.processes[index].exitcode != 0 and failed is None:
                failed = index
        if failed is None:
            return not self._left
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(grace_period)
            if process.is_alive():
                process.kill()
                process.join()
        self._fail(failed)
        return False

    def _fail(self, index: int) -> None:
        process = self.processes[index]
        try:
            with open(self._reports[index], "rb") as file:
                text = pickle.load(file)  # written by our own child process
        except (OSError, EOFError):
            text = None
        if text is not None:
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n{text}", index, process.pid
            )
        if process.exitcode < 0:
            name = signal.Signals(-process.exitcode).name
            raise ProcessExitedException(
                f"process {index} terminated with signal {name}", index, process.pid, process.exitcode, name
            )
        raise ProcessExitedException(
            f"process {index} terminated with exit code {process.exitcode}", index, process.pid, process.exitcode
        )


SpawnContext = ProcessContext


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Start ``nprocs`` processes that call ``fn(index, *args)``.

    Args:
        fn: a function of a module, so that a new process can find it.
        args: what follows the index.
        nprocs: how many.
        join: wait for all, and raise the first failure; otherwise give a ``ProcessContext`` back.
        daemon: end them with this process.
        start_method: ``"spawn"``, ``"forkserver"``, or ``"fork"``, which JAX's threads make dangerous.

    Raises:
        ProcessRaisedException: one raised an exception.
        ProcessExitedException: one was killed, or exited.
    """
    context: Any = multiprocessing.get_context(start_method)
    folder = tempfile.TemporaryDirectory(prefix="rushlight-spawn-")
    processes, reports = [], []
    for index in range(nprocs):
        reports.append(f"{folder.name}/{index}")
        process = context.Process(target=_run, args=(fn, index, args, reports[-1]), daemon=daemon)
        process.start()
        processes.append(process)
    running = ProcessContext(processes, reports)
    running._folder = folder  # type: ignore[attr-defined]  # removed with the context
    if not join:
        return running
    while not running.join():
        pass
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Start ``nprocs`` fresh processes that call ``fn(index, *args)``; see ``start_processes``.

    Raises:
        NotImplementedError: another way of starting; ``start_processes`` has them.
    """
    if start_method != "spawn":
        raise not_supported(f"spawn(start_method={start_method!r})", "Call start_processes, which takes it.")
    return start_processes(fn, args, nprocs, join, daemon, "spawn")


def get_all_sharing_strategies() -> set[str]:
    """How tensors reach other processes: as copies, through files of their own."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """How tensors reach other processes."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose how tensors reach other processes.

    Raises:
        NotImplementedError: another way than the one there is.
    """
    if new_strategy not in get_all_sharing_strategies():
        raise not_supported(
            f"set_sharing_strategy({new_strategy!r})", "Tensors are copied to other processes; leave the call out."
        )


def __getattr__(name: str) -> Any:
    if name == "__path__":
        # With it this would count as a package, and its files as ours: spawn.py in the place of the function.
        raise missing_name(__name__, name)
    try:
        return getattr(multiprocessing, name)
    except AttributeError:
        raise missing_name(__name__, name) from None


# pyright: reportUnsupportedDunderAll=false
__all__ = [
    *multiprocessing.__all__, "ProcessContext", "ProcessException", "ProcessExitedException",
    "ProcessRaisedException", "SpawnContext", "get_all_sharing_strategies", "get_sharing_strategy",
    "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip
