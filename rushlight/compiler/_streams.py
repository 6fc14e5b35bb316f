"""Owns noticing that a function draws random numbers of Python's or numpy's, or reads on in a file.

May import numpy.
"""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterable
from typing import Any

import numpy as np


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
            elif isinstance(value, io.IOBase) and _only_read(value):
                self._kept.append(("a file", value.tell, value.seek))
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


def _only_read(file) -> bool:
    """Whether a file is open, and for reading alone: what is written there is no more than a trace's message."""
    return (
        not file.closed and file.seekable() and file.readable() and (not file.writable() or hasattr(file, "getvalue"))
    )


def _of_python(source):
    return "Python's random", source.getstate, source.setstate


def _of_numpy(source):
    return "numpy's random", source.get_state, source.set_state


def _of_bits(source):
    return "numpy's random", lambda: source.state, lambda state: setattr(source, "state", state)
