"""Owns the lists and dicts that hold a node's arguments: they cannot be changed in place, so that users stay right.

May import the trees of utils.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from ..utils._pytree import _dict_flatten, _dict_unflatten, register_pytree_node

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")

_REMEDY = (
    "If you are attempting to modify the kwargs or args of a torch.fx.Node object,\n"
    "instead create a new copy of it and assign the copy to the node:\n\n"
    "    new_args = ...  # copy and mutate args\n"
    "    node.args = new_args"
)


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(f"{type(self).__name__!r} object does not support mutation. {_REMEDY}")


class immutable_list(list[_T]):
    """A list that refuses to be changed.

    Example:
        >>> immutable_list([1, 2]) + [3]
        [1, 2, 3]
    """

    __delitem__ = __iadd__ = __imul__ = __setitem__ = append = clear = extend = insert = _refuse  # type: ignore[assignment]
    pop = remove = reverse = sort = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> Any:
        return type(self), (tuple(self),)


class immutable_dict(dict[_K, _V]):
    """A dict that refuses to be changed.

    Example:
        >>> {**immutable_dict(a=1), "b": 2}
        {'a': 1, 'b': 2}
    """

    __delitem__ = __ior__ = __setitem__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> Any:
        return type(self), (tuple(self.items()),)


register_pytree_node(immutable_list, lambda d: (list(d), None), lambda values, _: immutable_list(values))
register_pytree_node(immutable_dict, _dict_flatten, lambda v, keys: immutable_dict(_dict_unflatten(v, keys)))

__all__ = ["immutable_dict", "immutable_list"]
