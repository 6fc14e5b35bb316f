"""Owns ``torch.utils._pytree``: nested lists, tuples and dicts as a flat list and a plan.

May import dtypes. JAX's own trees would sort the keys of dicts; torch's keep their order.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from ..dtypes import Size

PyTree = Any


class TreeSpec:
    """How a nest was built, without its leaves.

    Args:
        type: the class of the nest; None for a leaf.
        context: what the class needs to build an instance, beside the children.
        children: how the parts are built.
    """

    __slots__ = ("_children", "context", "num_leaves", "num_nodes", "type")

    def __init__(self, type: Any, context: Any, children: list[TreeSpec]):
        self.type, self.context, self._children = type, context, children
        self.num_leaves: int = 1 if type is None else sum(child.num_leaves for child in children)
        self.num_nodes: int = 1 + sum(child.num_nodes for child in children)

    @property
    def num_children(self) -> int:
        """How many parts the nest itself has."""
        return len(self._children)

    def is_leaf(self) -> bool:
        """Whether this is a leaf."""
        return self.type is None

    def children(self) -> list[TreeSpec]:
        """How the parts are built."""
        return list(self._children)

    def unflatten(self, leaves: Any) -> PyTree:
        """``tree_unflatten`` with this plan."""
        return tree_unflatten(leaves, self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        mine, theirs = (self.type, self.context, self._children), (other.type, other.context, other._children)
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves, *self._children))

    def __repr__(self) -> str:
        if self.type is None:
            return "*"
        name = "namedtuple" if self.type is _NAMED else self.type.__name__
        parts = ",\n".join(map(repr, self._children)).replace("\n", "\n  ")
        return f"TreeSpec({name}, {self.context!r}, [{parts}])"


class _NAMED(tuple):
    """Stands for all named tuples in the table below."""


def _kind(value: Any) -> Any:
    """What the class of a value is listed under; a class that is not listed makes a leaf."""
    cls = type(value)
    if cls not in _nodes and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _NAMED
    return cls


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


_LEAF = TreeSpec(None, None, [])
_DICTS = (dict, OrderedDict, defaultdict)
# Each class: an instance as its parts and a context; parts and a context as an instance.
_nodes: dict[Any, tuple[Callable[[Any], tuple], Callable[[Any, Any], Any]]] = {
    tuple: (lambda t: (list(t), None), lambda parts, _: tuple(parts)),
    list: (lambda t: (list(t), None), lambda parts, _: list(parts)),
    dict: (_dict_flatten, _dict_unflatten),
    OrderedDict: (_dict_flatten, lambda parts, keys: OrderedDict(zip(keys, parts, strict=True))),
    defaultdict: (
        lambda t: (list(t.values()), [t.default_factory, list(t)]),
        lambda parts, context: defaultdict(context[0], zip(context[1], parts, strict=True)),
    ),
    deque: (lambda t: (list(t), t.maxlen), lambda parts, most: deque(parts, maxlen=most)),
    Size: (lambda t: (list(t), None), lambda parts, _: Size(parts)),
    _NAMED: (lambda t: (list(t), type(t)), lambda parts, cls: cls(*parts)),
}


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

    Raises:
        ValueError: the class is one already.
    """
    if cls in _nodes:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _nodes[cls] = (flatten_fn, unflatten_fn)


def tree_flatten(tree: PyTree, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """The leaves of a nest, and how to build it again.

    Example:
        >>> from rushlight.utils._pytree import tree_flatten, tree_unflatten
        >>> leaves, spec = tree_flatten({"b": 1, "a": [2, None]})
        >>> leaves, tree_unflatten([3, 4, 5], spec)
        ([1, 2, None], {'b': 3, 'a': [4, 5]})
    """
    leaves: list = []
    return leaves, _walk(tree, is_leaf, leaves.append)


def _walk(value: Any, is_leaf: Callable[[Any], bool] | None, found: Callable[[Any], None]) -> TreeSpec:
    kind = _kind(value)
    if kind not in _nodes or (is_leaf is not None and is_leaf(value)):
        found(value)
        return _LEAF
    parts, context = _nodes[kind][0](value)
    return TreeSpec(kind, context, [_walk(part, is_leaf, found) for part in parts])


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> PyTree:
    """A nest built from leaves.

    Raises:
        ValueError: another number of leaves.
    """
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(
            f"treespec.unflatten(leaves): `leaves` has length {len(given)} but the spec refers to a pytree that holds "
            f"{treespec.num_leaves} items ({treespec})."
        )
    return _build(treespec, iter(given))


def _build(spec: TreeSpec, leaves: Iterator) -> PyTree:
    if spec.type is None:
        return next(leaves)
    return _nodes[spec.type][1]([_build(child, leaves) for child in spec._children], spec.context)


def _along(spec: TreeSpec, tree: PyTree) -> list:
    """What another nest has in the places of a nest's leaves.

    Raises:
        ValueError: it is built otherwise.
    """
    if spec.type is None:
        return [tree]
    kind = _kind(tree)
    if kind in _DICTS and spec.type in _DICTS:  # kinds of dict, and the order of keys, may differ
        keys = spec.context[1] if spec.type is defaultdict else spec.context
        if set(keys) != set(tree):
            raise ValueError(f"Node keys mismatch; expected {keys!r}, but got {list(tree)!r}.")
        parts = [tree[key] for key in keys]
    elif kind is not spec.type:
        raise ValueError(f"Node type mismatch; expected {spec.type!r}, but got {type(tree)!r}.")
    else:
        parts, context = _nodes[kind][0](tree)
        if len(parts) != spec.num_children:
            raise ValueError(f"Node arity mismatch; expected {spec.num_children}, but got {len(parts)}.")
        if context != spec.context:
            raise ValueError(f"Node context mismatch; expected {spec.context!r}, but got {context!r}.")
    return [leaf for child, part in zip(spec._children, parts, strict=True) for leaf in _along(child, part)]


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
    leaves, spec = tree_flatten(tree, is_leaf)
    return tree_unflatten(map(func, leaves, *(_along(spec, rest) for rest in rests)), spec)


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
