"""Owns the type of ``torch.__version__``: a string that compares as a version.

Imports the standard library and _version.
"""

from __future__ import annotations

import re
from typing import Any

from ._version import TORCH_VERSION


def _parts(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[+a-z-]", value, maxsplit=1)[0]))
    return tuple(int(part) for part in value)


class TorchVersion(str):
    """A version that may be compared with strings and tuples; missing places count as 0.

    Example:
        >>> TorchVersion("2.13.0") > "2.9", TorchVersion("2.13.0") >= (2, 13), TorchVersion("2.13.0") == "2.13.0"
        (True, True, True)
    """

    __slots__ = ()

    def _pair(self, other: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        try:
            mine, theirs = _parts(str(self)), _parts(other)
        except (TypeError, ValueError):
            return None
        size = max(len(mine), len(theirs))
        return mine + (0,) * (size - len(mine)), theirs + (0,) * (size - len(theirs))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) and not isinstance(other, TorchVersion) and not other[:1].isdigit():
            return str.__eq__(self, other)
        pair = self._pair(other)
        return pair is not None and pair[0] == pair[1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] < pair[1]

    def __le__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] <= pair[1]

    def __gt__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] > pair[1]

    def __ge__(self, other: Any) -> bool:
        pair = self._pair(other)
        return NotImplemented if pair is None else pair[0] >= pair[1]

    def __hash__(self) -> int:
        return str.__hash__(self)


__version__ = TorchVersion(TORCH_VERSION)
