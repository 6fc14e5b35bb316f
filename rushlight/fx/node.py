"""Owns ``torch.fx.node``: the types of a graph's steps, and the walk over nested arguments.

May import the file above it.
"""

from collections.abc import Callable
from typing import Any

from . import Node

Target = Callable[..., Any] | str
Argument = Any


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """Apply a function to everything inside of nested tuples, lists, dicts and slices.

    Args:
        a: the nest.
        fn: the function.

    Returns:
        The same nest around the results.

    Example:
        >>> map_aggregate([1, {"a": (2, 3)}], lambda x: 2 * x)
        [2, {'a': (4, 6)}]
    """
    if isinstance(a, tuple):
        parts = [map_aggregate(one, fn) for one in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return [map_aggregate(one, fn) for one in a]
    if isinstance(a, dict):
        return {key: map_aggregate(one, fn) for key, one in a.items()}
    if isinstance(a, slice):
        return slice(*(map_aggregate(one, fn) for one in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """Apply a function to the steps inside of nested arguments; as nothing is a step, the nest stays as it is.

    Args:
        a: the nest.
        fn: the function.

    Raises:
        AssertionError: no function.
    """
    if not callable(fn):
        raise AssertionError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(a, lambda one: fn(one) if isinstance(one, Node) else one)


__all__ = ["Argument", "Node", "Target", "map_aggregate", "map_arg"]
