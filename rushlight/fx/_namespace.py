"""Owns unique names: what nodes and generated variables are called, numbered the way PyTorch numbers them.

May import nothing of the package; who registers further reserved names gives the objects.
"""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Any

_FORBIDDEN = re.compile("[^0-9a-zA-Z_]+")
_NUMBERED = re.compile(r"([a-zA-Z_][0-9a-zA-Z_]*?)(?:_(\d+))?")
_WORD_START = re.compile("(?<=[a-z])([A-Z])")

# Names that generated code cannot use for a variable, and what each stands for there.
reserved: dict[str, Any] = {**{word: object() for word in keyword.kwlist}, **vars(builtins)}


def snake_case(text: str) -> str:
    """A name of a class as a name of a variable.

    Example:
        >>> snake_case("MaxPool2d")
        'max_pool2d'
    """
    return _WORD_START.sub(r"_\1", text).lower()


class Namespace:
    """Gives each object one name that no other has.

    Example:
        >>> names = Namespace()
        >>> [names.create_name(base, None) for base in ("x", "x", "x_5", "x", "for", "a.b")]
        ['x', 'x_1', 'x_5', 'x_6', 'for_1', 'a_b']
    """

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._used: set[str] = set()
        self._counts: dict[str, int] = {}

    def create_name(self, candidate: str, obj: Any) -> str:
        """A name close to the wanted one; an object that has a name keeps it.

        Args:
            candidate: the wanted name.
            obj: what it is for; None for nothing in particular.
        """
        if obj is not None and obj in self._names:
            return self._names[obj]
        if _NUMBERED.fullmatch(candidate) is None:
            candidate = _FORBIDDEN.sub("_", candidate) or "_unnamed"
            candidate = f"_{candidate}" if candidate[0].isdigit() else candidate
        found = _NUMBERED.fullmatch(candidate)
        assert found is not None
        base, number = found[1], None if found[2] is None else int(found[2])
        if number is None or candidate in self._used:  # the next number that was not given out
            number = self._counts.get(base, 0)
            if reserved.get(candidate, obj) is not obj:
                number += 1
                candidate = f"{base}_{number}"
        while candidate in self._used:
            number += 1
            candidate = f"{base}_{number}"
        self._used.add(candidate)
        self._counts[base] = number
        if obj is not None:
            self._names[obj] = candidate
        return candidate

    def associate(self, name: str, obj: Any) -> None:
        """Note that an object has a name which was made for it before it was there."""
        self._names[obj] = name
