"""Owns Python's questions about numbers that are computed on every call: of which type they are.

May import such numbers. They answer ``isinstance`` themselves; ``type`` asks the object, not what it says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ._host import HostNumber, mathematics


def _isinstance(value, kinds) -> bool:
    return isinstance(value, type if kinds is _type else kinds)


def _type(value, *more, **keywords):
    found = type(value, *more, **keywords)
    return type(value.now) if found is HostNumber else found


@contextmanager
def answering(functions: Iterable) -> Iterator[None]:
    """Let functions take such numbers for numbers, for the length of a block.

    Args:
        functions: those of the user; the names are put in front of Python's own in their modules.
    """
    answers = {"isinstance": _isinstance, "type": _type}
    homes = {id(f.__globals__): f.__globals__ for f in functions}.values()
    put = [(home, name, answer) for home in homes for name, answer in answers.items() if name not in home]
    for home, name, answer in put:
        home[name] = answer
    try:
        with mathematics():
            yield
    finally:
        for home, name, answer in put:
            if home.get(name) is answer:
                del home[name]
