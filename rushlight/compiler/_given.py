"""Owns lists and dicts that a function is given as arguments and writes into: each call writes into its own.

May import taking structures apart.
"""

from __future__ import annotations

from typing import Any

from ._tree import mutable, take_apart


class Given:
    """The lists and dicts among the arguments of a trace.

    Args:
        args, kwargs: what the function is called with; numbers may be traced.
        real: the lists and dicts of the call in the place of theirs.
        known: ids of those that the function refers to itself, which are state.
    """

    def __init__(self, args, kwargs, real, known):
        self._held = [
            (n, c, _contents(c))
            for n, (c, there) in enumerate(zip(mutable((args, kwargs)), real)) if id(there) not in known
        ]  # fmt: skip
        self._places = {id(c): n for n, c, _ in reversed(self._held)}

    def place(self, value) -> int | None:
        """Which list or dict a value is."""
        return self._places.get(id(value))

    def forget(self) -> None:
        """Let go of them: those with traced numbers are copies, which nobody needs any more."""
        self._held, self._places = [], {}

    def changes(self, visit) -> list:
        """What to do to each that was written into: ``(place, action)``, of a list or dict and the rebuilt leaves.

        Args:
            visit: as for ``take_apart``.
        """
        found = []
        for n, c, before in self._held:
            if self._places[id(c)] == n:
                now = _contents(c)
                if len(now) != len(before) or not all(_alike(a, b) for a, b in zip(now, before)):
                    found.append((n, (_of_dict if isinstance(c, dict) else _of_list)(now, before, visit)))
        return found


def _contents(container) -> list:
    return list(container.items()) if isinstance(container, dict) else list(container)


def _alike(a, b) -> bool:
    return a is b or (type(a) is type(b) is tuple and len(a) == len(b) == 2 and a[0] == b[0] and a[1] is b[1])


def _of_dict(now, before, visit):
    held: Any = dict(before)
    parts = [(key, None if key in held and held[key] is v else take_apart(v, visit)) for key, v in now]
    grown = [key for key, _ in now[: len(before)]] == [key for key, _ in before]

    def write(container, made):
        contents = [(key, container[key] if part is None else part(made)) for key, part in parts]
        if grown:
            for (key, value), (_, part) in zip(contents, parts):
                if part is not None:
                    container[key] = value
        else:
            container.clear()
            container.update(contents)

    return write


def _of_list(now, before, visit):
    places = {id(v): n for n, v in enumerate(before)}
    parts = [places[id(v)] if id(v) in places else take_apart(v, visit) for v in now]

    def write(container, made):
        container[:] = [container[part] if isinstance(part, int) else part(made) for part in parts]

    return write
