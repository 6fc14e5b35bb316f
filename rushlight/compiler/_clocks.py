"""Owns noticing that a function reads the clock, or draws what nobody can repeat, which no program does.

May import numpy and what is told of Python's values.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from types import CellType, SimpleNamespace
from typing import Any

import numpy as np

from ._contents import ours

_TIMES = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_CLOCKS = frozenset([*_TIMES, *[f"{name}_ns" for name in _TIMES]])
# These take the time to work with; left out, it is that of the clock.
_OF_A_TIME = {"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
_BETWEEN = ("os", "random", "secrets", "uuid", __name__)
_NOW = ("now", "utcnow", "today")
_DATES = (datetime.datetime, datetime.date)


class clocks:
    """Notices who reads the clock, for the length of a block.

    Args:
        functions: the user's, whose modules and cells may hold functions that do.

    Attributes:
        read: what was done that a program cannot repeat; None for nothing.
    """

    def __init__(self, functions):
        self.read: str | None = None
        functions = list(functions)
        homes = {id(f.__globals__): f.__globals__ for f in functions}.values()
        self._kept: list[Any] = [
            (home, name, value, self._watching(value))
            for home in (vars(time), vars(datetime), *homes) for name, value in list(home.items()) if _tells(value)
        ]  # fmt: skip
        cells = {id(cell): cell for f in functions for cell in f.__closure__ or ()}.values()
        self._kept += [(c, None, c.cell_contents, self._watching(c.cell_contents)) for c in cells if _holds_clock(c)]
        for module, name in (("os", "urandom"), ("random", "_urandom"), ("uuid", "_generate_time_safe")):
            home = vars(sys.modules[module]) if module in sys.modules else {}
            if home.get(name) is not None:
                self._kept.append((home, name, home[name], self._drawing(home[name])))
        self._kept += [
            (home, name, value, self._drawing(value)) for home in homes for name, value in list(home.items())
            if value is os.urandom
        ]  # fmt: skip

        self._seeded = False
        if "stands_for" not in vars(np.random.RandomState):  # in the trace of a layer, the outer one watches
            instead = self._seeding(np.random.RandomState)
            self._kept += [
                (home, name, value, instead) for home in (vars(np.random), *homes)
                for name, value in list(home.items()) if value is np.random.RandomState
            ]  # fmt: skip

    def __enter__(self):
        for home, name, _, instead in self._kept:
            _put(home, name, instead)
        return self

    def __exit__(self, *error):
        for home, name, value, _ in self._kept:
            _put(home, name, value)

    def _watching(self, plain):
        if plain in _DATES:
            return _date(self, plain)
        name, given = plain.__name__, _OF_A_TIME.get(plain.__name__)

        def read(*args):
            late = given is None or len(args) < given or (name != "strftime" and args[0] is None)
            if late and _users(sys._getframe(1)):
                self.read = f"{name}() reads the clock"
            return plain(*args)

        read.stands_for = plain  # pyright: ignore[reportFunctionMemberAccess]
        return read

    def _drawing(self, plain):
        def draw(*args):
            frame: Any = sys._getframe(1)
            while frame is not None and frame.f_globals.get("__name__") in _BETWEEN:
                frame = frame.f_back
            if frame is not None and _users(frame) and not self._seeded:
                self.read = "what the system draws at random is used"
            return plain(*args)

        draw.stands_for = plain  # pyright: ignore[reportFunctionMemberAccess]
        return draw

    def _seeding(self, plain):
        clock = self

        class Kind(type):
            def __call__(cls, seed=None):
                clock._seeded = seed is not None  # numpy draws from the system all the same, and takes the seed
                try:
                    return plain(seed)
                finally:
                    clock._seeded = False

            def __instancecheck__(cls, value):
                return isinstance(value, plain)

            def __subclasscheck__(cls, kind):
                return kind is cls or issubclass(kind, plain)

        return Kind(plain.__name__, (plain,), {"__module__": plain.__module__, "stands_for": plain})


def _tells(value) -> bool:
    """Whether it is a function or class that tells the time."""
    if type(value) is type(time.time):
        return value.__module__ == "time" and (value.__name__ in _CLOCKS or value.__name__ in _OF_A_TIME)
    return value in _DATES if isinstance(value, type) else False


def _holds_clock(cell: CellType) -> bool:
    try:
        return _tells(cell.cell_contents)
    except ValueError:
        return False


def _put(home, name, value) -> None:
    if isinstance(home, dict):
        home[name] = value
    else:
        home.cell_contents = value


def _users(frame) -> bool:
    """Whether it is a user's code that is running."""
    return not ours(SimpleNamespace(__module__=frame.f_globals.get("__name__")))


def _date(clock: clocks, plain):
    """A stand-in for ``datetime`` or ``date``: it makes objects of the class itself, and is asked the time."""

    class Kind(type):
        def __call__(cls, *args, **kwargs):
            return plain(*args, **kwargs)

        def __instancecheck__(cls, value):
            return isinstance(value, plain)

        def __subclasscheck__(cls, kind):
            return kind is cls or issubclass(kind, plain)

    def now(name):
        def read(*args, **kwargs):
            if _users(sys._getframe(1)):
                clock.read = f"{plain.__name__}.{name}() reads the clock"
            return getattr(plain, name)(*args, **kwargs)

        return staticmethod(read)

    named = {name: now(name) for name in _NOW if hasattr(plain, name)}
    return Kind(plain.__name__, (plain,), {**named, "__module__": plain.__module__, "stands_for": plain})
