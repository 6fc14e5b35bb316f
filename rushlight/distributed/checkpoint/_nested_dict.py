"""Owns the flat names of nested states, and the way back.

May import the tensor cell and _errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from ..._errors import missing_name
from ..._tensor.tensor import Tensor

OBJ_PATH = tuple[str | int, ...]
FLATTEN_MAPPING = dict[str, OBJ_PATH]


def _is_leaf(value: Any, old: bool) -> bool:
    """Whether a value is kept whole: a list without tensors, dicts or lists that hold some; anything else."""
    if isinstance(value, Mapping):
        if not old:
            return False
        members: Any = value.values()
    elif isinstance(value, list):
        members = value
    else:
        return True
    return all(
        not isinstance(one, Tensor) and (not isinstance(one, (Mapping, list)) or _is_leaf(one, old)) for one in members
    )


def _walk(path: OBJ_PATH, value: Any, old: bool, visit: Callable[[OBJ_PATH, Any], None]) -> None:
    if _is_leaf(value, old):
        visit(path, value)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _walk((*path, str(key)), one, old, visit)
    else:
        for i, one in enumerate(value):
            _walk((*path, i), one, old, visit)


def flatten_state_dict(state_dict: Mapping, old: bool = False) -> tuple[dict[str, Any], FLATTEN_MAPPING]:
    """A state in one level, with names joined by dots, and the path that each name stands for.

    Args:
        state_dict: the state.
        old: keep dicts without tensors whole, as torch did before version 2.4.

    Raises:
        ValueError: two paths have the same name.

    Example:
        >>> flatten_state_dict({"a": {"b": 1}, "c": [2, 3]})
        ({'a.b': 1, 'c': [2, 3]}, {'a.b': ('a', 'b'), 'c': ('c',)})
    """
    flat: dict[str, Any] = {}
    paths: FLATTEN_MAPPING = {}

    def keep(path: OBJ_PATH, value: Any) -> None:
        name = ".".join(map(str, path))
        if name in flat:
            raise ValueError(f"duplicated flatten key {name}")
        flat[name], paths[name] = value, path

    for key, value in state_dict.items():
        _walk((str(key),), value, old, keep)
    return flat, paths


def set_element(root: Any, path: OBJ_PATH, value: Any) -> None:
    """Put a value into a nested state; dicts and lists on the way are made where they are missing."""
    holder = root
    for key, following in pairwise(path):
        fresh: Any = {} if isinstance(following, str) else []
        if isinstance(holder, Mapping):
            holder = holder.setdefault(key, fresh)  # type: ignore[attr-defined]
        else:
            _lengthen(holder, key)
            if holder[key] is None:
                holder[key] = fresh
            holder = holder[key]
    if isinstance(path[-1], int):
        _lengthen(holder, path[-1])
    holder[path[-1]] = value


def _lengthen(holder: Any, index: Any) -> None:
    holder.extend([None] * (index + 1 - len(holder)))


def unflatten_state_dict(state_dict: Mapping[str, Any], mapping: FLATTEN_MAPPING) -> dict[str, Any]:
    """The nested state of a flat one.

    Example:
        >>> unflatten_state_dict({"a.b": 1, "c.0": 2}, {"a.b": ("a", "b"), "c.0": ("c", 0)})
        {'a': {'b': 1}, 'c': [2]}
    """
    nested: dict[str, Any] = {}
    for name, value in state_dict.items():
        set_element(nested, mapping[name], value)
    return nested


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["flatten_state_dict", "set_element", "unflatten_state_dict"]
