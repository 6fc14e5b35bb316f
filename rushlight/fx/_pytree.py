"""Owns ``torch.fx._pytree``: taking nested arguments apart the way a given plan says.

May import the trees of utils.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..utils._pytree import _NAMED, TreeSpec, tree_flatten

SUPPORTED_NODES: dict[Any, Callable[[Any, TreeSpec], list]] = {
    dict: lambda d, spec: [d[key] for key in spec.context],
    list: lambda d, spec: [d[i] for i in range(spec.num_children)],
    tuple: lambda d, spec: [d[i] for i in range(spec.num_children)],
    _NAMED: lambda d, spec: [d[i] for i in range(spec.num_children)],
}


def register_pytree_flatten_spec(
    cls: type, flatten_fn_spec: Callable[[Any, TreeSpec], list], flatten_fn_exact_match_spec: Callable | None = None
) -> None:
    """Say how instances of a class are taken apart after a plan.

    Args:
        cls: the class.
        flatten_fn_spec: gives the children of an instance.
        flatten_fn_exact_match_spec: accepted: whether an instance has no more than the plan.
    """
    SUPPORTED_NODES[cls] = flatten_fn_spec


def tree_flatten_spec(pytree: Any, spec: TreeSpec) -> list:
    """The leaves of a nest in the places that a plan has; what the plan does not know is left out.

    Args:
        pytree: the nest.
        spec: the plan.

    Raises:
        RuntimeError: the nest is built otherwise.

    Example:
        >>> from rushlight.utils._pytree import tree_structure
        >>> tree_flatten_spec({"b": 1, "a": [2, 3]}, tree_structure({"a": [0, 0]}))
        [2, 3]
    """
    if spec.is_leaf():
        return [pytree]
    if spec.type in SUPPORTED_NODES:
        parts = SUPPORTED_NODES[spec.type](pytree, spec)
        return [
            leaf for part, child in zip(parts, spec.children(), strict=False) for leaf in tree_flatten_spec(part, child)
        ]
    leaves, found = tree_flatten(pytree)
    if found != spec:
        raise RuntimeError(f"Real spec {found} of object {pytree} is different from expected spec {spec}.")
    return leaves


__all__ = ["register_pytree_flatten_spec", "tree_flatten_spec"]
