"""Owns ``associative_scan``: running combinations along a dimension, in a number of steps that grows as its logarithm.

May import the trees, the operators and the tensor cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.join import cat, stack
from ..utils._pytree import tree_flatten, tree_unflatten


def associative_scan(
    combine_fn: Callable, xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise"
) -> Any:
    """Combine each element along ``dim`` with all before it.

    Args:
        combine_fn: takes two nests like ``xs`` (without ``dim``, or with more elements there) and gives one; it must
            not matter which neighbours are combined first.
        xs: a tensor, or a nest of tensors of one size along ``dim``.
        dim: along which.
        reverse: combine with all that come after it.
        combine_mode: accepted: ``"pointwise"`` and ``"generic"`` choose PyTorch's kernel.

    Raises:
        ValueError: another mode, nothing to scan, or different sizes.

    Example:
        >>> import rushlight as torch
        >>> from rushlight._higher_order_ops.associative_scan import associative_scan
        >>> associative_scan(lambda a, b: a * b, torch.tensor([1.0, 2.0, 3.0, 4.0]), 0)
        tensor([ 1.,  2.,  6., 24.])
    """
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(
            f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}",
        )
    leaves, plan = tree_flatten(xs)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ValueError(f"Expected at least 1 xs leaf, all of them tensors, but got {leaves}")
    if any(leaf.dim() == 0 for leaf in leaves) or len({leaf.size(dim) for leaf in leaves}) > 1:
        raise ValueError(
            f"Expected the same size along dim {dim} in all xs leaves, received {[list(leaf.shape) for leaf in leaves]}"
        )

    def combine(first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        return tree_flatten(combine_fn(tree_unflatten(first, plan), tree_unflatten(second, plan)))[0]

    moved = [leaf.movedim(dim, 0) for leaf in leaves]
    if reverse:
        moved = [leaf.flip(0) for leaf in moved]
    done = _scan(combine, moved)
    if reverse:
        done = [leaf.flip(0) for leaf in done]
    return tree_unflatten([leaf.movedim(0, dim) for leaf in done], plan)


def _scan(combine: Callable, xs: list[Tensor]) -> list[Tensor]:
    """Combine pairs, scan those, and fill in what lies between them."""
    count = len(xs[0])
    if count < 2:
        return xs
    even, odd = [x[0 : count - 1 : 2] for x in xs], [x[1::2] for x in xs]
    at_odd = _scan(combine, combine(even, odd))
    if count == 2:
        return [cat([x[:1], y]) for x, y in zip(xs, at_odd, strict=True)]
    later = [x[2::2] for x in xs]
    between = combine([x[: len(later[0])] for x in at_odd], later)
    at_even = [cat([x[:1], y]) for x, y in zip(xs, between, strict=True)]
    return [_interleave(a, b) for a, b in zip(at_even, at_odd, strict=True)]


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    pairs = stack([even[: len(odd)], odd], dim=1).flatten(0, 1)
    return cat([pairs, even[len(odd) :]]) if len(even) > len(odd) else pairs


__all__ = ["associative_scan"]
