"""Owns noticing that a function draws random numbers of Python's or numpy's, or reads the clock, which no program does.

May import numpy and what is told of Python's values.
"""

from __future__ import annotations

import pickle
import random
import sys
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ._contents import ours

_TIMES = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_CLOCKS = frozenset([*_TIMES, *[f"{name}_ns" for name in _TIMES]])


class Streams:
    """The random streams of Python and numpy around a trace.

    Args:
        values: what a function refers to; the generators among it are watched besides the global ones.
    """

    def __init__(self, values: Iterable[Any] = ()):
        self._kept: list[Any] = [_of_python(random), _of_numpy(np.random)]
        value: Any
        for value in values:
            if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
                self._kept.append(_of_python(value))
            elif isinstance(value, np.random.RandomState):
                self._kept.append(_of_numpy(value))
            elif hasattr(type(value), "key_storage"):
                engine: Any = vars(value)["_engine"]
                self._kept.append(("torch's stream of random numbers", engine.get_state, engine.set_state))
            elif isinstance(value, np.random.Generator):
                self._kept.append(_of_bits(value.bit_generator))
        self._states = [read() for _, read, _ in self._kept]
        self._marks = [pickle.dumps(s) for s in self._states]

    def drawn(self, seeded) -> str | None:
        """Which stream moved on, in words; None where none did. Each is put back.

        Args:
            seeded: torch's streams that were started anew, which every call will do.
        """
        found = None
        for (name, read, write), state, mark in zip(self._kept, self._states, self._marks):
            if pickle.dumps(read()) != mark:
                write(state)
                if not any(getattr(read, "__self__", None) is engine for engine in seeded):
                    found = name
        return found


def _of_python(source):
    return "Python's random", source.getstate, source.setstate


def _of_numpy(source):
    return "numpy's random", source.get_state, source.set_state


def _of_bits(source):
    return "numpy's random", lambda: source.state, lambda state: setattr(source, "state", state)


class clocks:
    """Notices who reads the clock, for the length of a block.

    Args:
        functions: the user's, whose modules may hold functions of ``time``.

    Attributes:
        read: what a user's function called; None for nothing.
    """

    def __init__(self, functions):
        self.read: str | None = None
        homes = {id(f.__globals__): f.__globals__ for f in functions}.values()
        self._kept: list[Any] = [
            (home, name, value) for home in (vars(time), *homes) for name, value in list(home.items())
            if type(value) is type(time.time) and value.__module__ == "time" and value.__name__ in _CLOCKS
        ]  # fmt: skip

    def __enter__(self):
        for home, name, value in self._kept:
            home[name] = self._watching(value)
        return self

    def __exit__(self, *error):
        for home, name, value in self._kept:
            home[name] = value

    def _watching(self, plain):
        def read():
            if not ours(SimpleNamespace(__module__=sys._getframe(1).f_globals.get("__name__"))):
                self.read = plain.__name__
            return plain()

        return read
