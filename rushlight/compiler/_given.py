"""Owns lists, dicts and records that a function is given as arguments and writes into: each call writes into its own.

May import taking structures apart.
"""

from __future__ import annotations

from typing import Any

from ._records import own, write
from ._tree import mutable, take_apart


class Given:
    """The lists, dicts and records among the arguments of a trace; in a block, after which they are as before.

    Args:
        args, kwargs: what the function is called with; numbers may be traced.
        leaves: those of the call.
        known: ids of those that the function refers to itself, which are state.
    """

    def __init__(self, args, kwargs, leaves, known):
        self._held = [
            (n, c, _contents(c))
            for n, (c, there) in enumerate(zip(mutable((args, kwargs), leaves.records), leaves.containers))
            if id(there) not in known
        ]  # fmt: skip
        self._places = {id(c): n for n, c, _ in reversed(self._held)}
        self._attributes = {id(c.__dict__) for _, c, _ in self._held if _is_record(c) and hasattr(c, "__dict__")}

    def place(self, value) -> int | None:
        """Which list or dict a value is."""
        return self._places.get(id(value))

    def result(self, value, kinds, outside) -> int | None:
        """The place of a list or dict that is there already among the results; None for anything else.

        Args:
            value: what is returned.
            kinds: what the results are, to which it is added.
            outside: by id, what the function refers to.
        """
        n = self.place(value)
        if n is None and id(value) not in outside:
            return None
        kinds.append(("constant", value) if n is None else ("container", n))
        return len(kinds) - 1

    def holds(self, container) -> bool:
        """Whether it is one of them, or what one of them keeps its attributes in."""
        return id(container) in self._places or id(container) in self._attributes

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        """Put back what was written, and let go: those with traced numbers are copies, which nobody needs any more."""
        for _, c, before in self._held:
            if not _equal(_contents(c), before):
                if isinstance(c, list):
                    c[:] = before
                elif isinstance(c, dict):
                    c.clear()
                    c.update(before)
                else:
                    write(c, dict(before))
        self._held, self._places, self._attributes = [], {}, set()

    def changes(self, visit) -> list:
        """What to do to each that was written into: ``(place, action)``, of a list or dict and the rebuilt leaves.

        Args:
            visit: as for ``take_apart``.
        """
        found = []
        for n, c, before in self._held:
            if self._places[id(c)] == n:
                now = _contents(c)
                if not _equal(now, before):
                    found.append((n, (_of_list if isinstance(c, list) else _of_dict)(now, before, visit)))
        return found


def _contents(container) -> list:
    if _is_record(container):
        return own(container)
    return list(container.items()) if isinstance(container, dict) else list(container)


def _is_record(container) -> bool:
    return not isinstance(container, (dict, list))


def _equal(now, before) -> bool:
    """Whether the contents of a container are the same objects as before."""
    return len(now) == len(before) and all(_alike(a, b) for a, b in zip(now, before))


def _alike(a, b) -> bool:
    return a is b or (type(a) is type(b) is tuple and len(a) == len(b) == 2 and a[0] == b[0] and a[1] is b[1])


def _of_dict(now, before, visit):
    held: Any = dict(before)
    parts = [(key, None if key in held and held[key] is v else take_apart(v, visit)) for key, v in now]
    grown = [key for key, _ in now[: len(before)]] == [key for key, _ in before]

    def fill(container, made):
        if _is_record(container):
            held = dict(own(container))
            write(container, {key: held[key] if part is None else part(made) for key, part in parts})
            return
        contents = [(key, container[key] if part is None else part(made)) for key, part in parts]
        if grown:
            for (key, value), (_, part) in zip(contents, parts):
                if part is not None:
                    container[key] = value
        else:
            container.clear()
            container.update(contents)

    return fill


def _of_list(now, before, visit):
    places = {id(v): n for n, v in enumerate(before)}
    parts = [places[id(v)] if id(v) in places else take_apart(v, visit) for v in now]

    def fill(container, made):
        container[:] = [container[part] if isinstance(part, int) else part(made) for part in parts]

    return fill
