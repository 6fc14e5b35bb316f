"""Owns ``print`` in a function that is traced: every call prints, when its program has run.

May import the modes and the numbers that Python computes.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from .._graph.modes import state
from ._contents import is_plain
from ._host import HostNumber


class Printed:
    """One call of ``print``.

    Args:
        args: what was printed: numbers, and the text of all else.
        options: ``sep``, ``end``, ``file`` and ``flush``.
    """

    def __init__(self, args, options):
        self.args = [a if type(a) is HostNumber or is_plain(a) else str(a) for a in args]
        self.options = options

    def numbers(self) -> list:
        """The numbers that every call computes."""
        return [a for a in self.args if type(a) is HostNumber]

    def __call__(self, values: dict) -> None:
        """Print; ``values`` are those of this call by the id of their number."""
        print(*[values[id(a)] if type(a) is HostNumber else a for a in self.args], **self.options)


@contextmanager
def printing() -> Iterator[None]:
    """Let the trace take note of what is printed, for the length of a block."""
    plain = builtins.print

    def note(*args, **options):
        trace = state.trace
        if trace is None:
            return plain(*args, **options)
        printed = Printed(args, options)
        trace.printed.append(printed)
        trace.after.append((printed, None))
        return None

    builtins.print = note
    try:
        yield
    finally:
        builtins.print = plain
