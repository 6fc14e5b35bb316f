"""Owns ``brief``, which shows a value from a file in an error without walking through all of it.

May import only the standard library; a file can hold a nest whose full text would never end.
"""

from __future__ import annotations

_ITEMS = 4
_DEPTH = 2
_OURS = ("rushlight.checkpoint", "rushlight.dtypes", "rushlight._device")


def brief(value, limit: int = 80, depth: int = 0) -> str:
    """At most ``limit`` characters about a value.

    Example:
        >>> brief([1, "two", [3, [4]]]), brief(10**1000), brief("x" * 100, 10)
        ("[1, 'two', [3, list of 1]]", 'int of 3322 bits', "'xxxxxx...")
    """
    text = _text(value, limit, depth)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _text(value, limit: int, depth: int) -> str:
    kind = type(value)
    if kind is int:
        return repr(value) if value.bit_length() <= 128 else f"int of {value.bit_length()} bits"
    if value is None or kind in (bool, float, complex):
        return repr(value)
    if kind in (str, bytes, bytearray):
        return repr(value[:limit])
    if kind in (list, tuple):
        if depth >= _DEPTH and value:
            return f"{kind.__name__} of {len(value)}"
        inside = ", ".join(brief(item, limit, depth + 1) for item in value[:_ITEMS])
        inside += ", ..." if len(value) > _ITEMS else "," if kind is tuple and len(value) == 1 else ""
        return f"[{inside}]" if kind is list else f"({inside})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if kind.__module__.startswith(_OURS):
        return repr(value)
    if isinstance(value, (dict, set, frozenset)):
        return f"{kind.__name__} of {len(value)}"
    return f"<{kind.__name__}>"
