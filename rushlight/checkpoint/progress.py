"""Owns the progress bar of long writes, which appears on a terminal alone.

May import rich, on use.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

_LARGE = 256 << 20
_PATIENCE = 1.0


@contextlib.contextmanager
def shown(what: str, total: int) -> Iterator:
    """Show how much of ``total`` bytes is done, where that takes longer than a second and stderr is a terminal.

    Args:
        what: goes before the bar.
        total: bytes.

    Yields:
        a function to call with the bytes of each piece.
    """
    if total < _LARGE or not sys.stderr.isatty():
        yield lambda count: None
        return
    bar = _Bar(what, total)
    try:
        yield bar.advance
    finally:
        bar.close()


@contextlib.contextmanager
def waiting(what: str, total: int) -> Iterator[None]:
    """Show that something of ``total`` bytes goes on whose progress nobody tells; when and where ``shown`` would.

    Args:
        what: goes before the size and the time.
        total: bytes.
    """
    if total < _LARGE or not sys.stderr.isatty():
        yield
        return
    bar = _Bar(what, total, known=False)
    timer = threading.Timer(_PATIENCE, bar.begin)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.close()


class _Bar:
    def __init__(self, what: str, total: int, known: bool = True):
        self._what, self._total, self._done, self._known = what, total, 0, known
        self._began = time.monotonic()
        self._progress: Any = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is None:
            if time.monotonic() - self._began < _PATIENCE:
                return
            self.begin()
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done)

    def begin(self) -> None:
        """Appear."""
        from rich import progress
        from rich.console import Console

        columns = (
            (progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn(),
             progress.TimeRemainingColumn())
            if self._known
            else (progress.SpinnerColumn(), progress.TextColumn(f"{self._total / 1e6:,.0f} MB"),
                  progress.TimeElapsedColumn())
        )  # fmt: skip
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"), *columns, console=Console(file=sys.stderr), transient=True
        )
        self._task = self._progress.add_task(self._what, total=self._total if self._known else None)
        self._progress.start()

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
