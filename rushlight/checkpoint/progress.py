"""Owns the progress bar of long writes, which appears on a terminal alone.

May import rich, on use.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

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


class _Bar:
    def __init__(self, what: str, total: int):
        self._what, self._total, self._done = what, total, 0
        self._began = time.monotonic()
        self._progress = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is None:
            if time.monotonic() - self._began < _PATIENCE:
                return
            from rich import progress
            from rich.console import Console

            self._progress = progress.Progress(
                progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn(),
                progress.TransferSpeedColumn(), progress.TimeRemainingColumn(),
                console=Console(file=sys.stderr), transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task(self._what, total=self._total)
            self._progress.start()
        self._progress.update(self._task, completed=self._done)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
