"""Owns ``torch.utils._pytree``: nested lists, tuples and dicts as a flat list and a plan; JAX's trees do the work.

May import jax.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.tree_util as trees

PyTree = Any


class TreeSpec:
    """How a nest was built, without its leaves.

    Args:
        plan: JAX's own description.
    """

    def __init__(self, plan: Any):
        self._plan = plan

    @property
    def num_leaves(self) -> int:
        """How many leaves the nest has."""
        return self._plan.num_leaves

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and self._plan == other._plan

    def __hash__(self) -> int:
        return hash(self._plan)

    def __repr__(self) -> str:
        return f"TreeSpec({self.num_leaves} leaves: {self._plan})"


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceKey:
    """A child's place in a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The child at this place."""
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True, slots=True)
class MappingKey:
    """A child's key in a dict.

    Example:
        >>> from rushlight.utils._pytree import MappingKey
        >>> MappingKey("a").get({"a": 1})
        1
    """

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The child under this key."""
        return mapping[self.key]


@dataclasses.dataclass(frozen=True, slots=True)
class GetAttrKey:
    """A child's name as an attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The child of this name."""
        return getattr(obj, self.name)


def _dict_flatten(d: dict) -> tuple[list, list]:
    return list(d.values()), list(d)


def _dict_flatten_with_keys(d: dict) -> tuple[list, list]:
    return [(MappingKey(key), value) for key, value in d.items()], list(d)


def _dict_unflatten(values: Any, context: list) -> dict:
    return dict(zip(context, values, strict=True))


class _Context:
    """What a class keeps to build an instance again, comparable and hashable whatever it is, as JAX wants it."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Context) and self.value == other.value

    def __hash__(self) -> int:
        return hash(type(self.value))


def _leaf(is_leaf: Callable[[Any], bool] | None) -> Callable[[Any], bool]:
    # torch's None is a leaf, JAX's is an empty nest.
    return lambda value: value is None or (is_leaf is not None and is_leaf(value))


def register_pytree_node(
    cls: type, flatten_fn: Callable, unflatten_fn: Callable, *, serialized_type_name: str | None = None,
    to_dumpable_context: Callable | None = None, from_dumpable_context: Callable | None = None,
    flatten_with_keys_fn: Callable | None = None,
) -> None:  # fmt: skip
    """Let a class be a nest.

    Args:
        cls: the class.
        flatten_fn: gives the children of an instance, and anything needed to build it again.
        unflatten_fn: builds an instance from the two.
        serialized_type_name, to_dumpable_context, from_dumpable_context: accepted: how ``torch.export`` would write it.
        flatten_with_keys_fn: accepted: how a child's place would be written in a message.
    """

    def flatten(value: Any) -> tuple:
        children, context = flatten_fn(value)
        return children, _Context(context)

    trees.register_pytree_node(cls, flatten, lambda context, children: unflatten_fn(list(children), context.value))


def tree_flatten(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """The leaves of a nest, and how to build it again.

    Example:
        >>> from rushlight.utils._pytree import tree_flatten, tree_unflatten
        >>> leaves, spec = tree_flatten({"a": 1, "b": [2, None]})
        >>> leaves, tree_unflatten([3, 4, 5], spec)
        ([1, 2, None], {'a': 3, 'b': [4, 5]})
    """
    leaves, plan = trees.tree_flatten(tree, is_leaf=_leaf(is_leaf))
    return leaves, TreeSpec(plan)


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> PyTree:
    """A nest built from leaves.

    Raises:
        ValueError: another number of leaves.
    """
    return trees.tree_unflatten(treespec._plan, list(leaves))


def tree_leaves(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> list:
    """The leaves of a nest."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """How a nest is built."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """The same nest with ``func`` of each leaf (and of the leaves at its place in the other nests).

    Example:
        >>> from rushlight.utils._pytree import tree_map
        >>> tree_map(lambda x: x + 1, [1, (2, 3)])
        [2, (3, 4)]
    """
    return trees.tree_map(func, tree, *rests, is_leaf=_leaf(is_leaf))


def tree_map_(func: Callable, tree: PyTree, *rests: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """Call ``func`` on each leaf for what it does, and give the nest back."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kind: Any, func: Callable, tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> PyTree:
    """The same nest with ``func`` of each leaf of a class; the others stay."""
    return tree_map(lambda value: func(value) if isinstance(value, kind) else value, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether the predicate holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether the predicate holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


__all__ = [
    "GetAttrKey", "MappingKey", "PyTree", "SequenceKey", "TreeSpec", "register_pytree_node", "tree_all", "tree_any",
    "tree_flatten", "tree_leaves", "tree_map", "tree_map_", "tree_map_only", "tree_structure", "tree_unflatten",
]  # fmt: skip
