"""Owns ``annotate``, which gives a traced value a type.

May import proxies.
"""

from __future__ import annotations

from typing import Any

from .proxy import Proxy


def annotate(val: Any, type: Any) -> Any:
    """Give the node of a proxy a type; any other value stays as it is.

    Args:
        val: the value.
        type: its type.

    Raises:
        RuntimeError: the node has a type.

    Example:
        >>> annotate(3, int)
        3
    """
    if not isinstance(val, Proxy):
        return val
    if val.node.type:
        raise RuntimeError(
            f"Tried to annotate a value that already had a type on it! Existing type is {val.node.type} and new type "
            f"is {type}. This could happen if you tried to annotate a function parameter value (in which case you "
            "should use the type slot on the function signature) or you called annotate on the same value twice"
        )
    val.node.type = type
    return val


__all__ = ["annotate"]
