"""Owns custom functions under ``vmap``: their own rule for batches, and their derivative once the batch is done.

May import this folder, the tape, the tensor cell and the modes; a custom function is known by its node's attributes.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._graph import node as nodes
from .._graph.modes import no_grad, state
from .._tensor.program import _FREED
from .._tensor.tensor import Tensor
from ._batching import Frame, physical, tied
from ._tree import broadcast, flatten, unflatten

_TWO = (
    "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible with "
    "the output. "
)


class VmapInfo(NamedTuple):
    """What a rule for batches is told: how many examples there are, and what random numbers may do."""

    batch_size: int
    randomness: str


def by_rule(cls: Any, args: tuple) -> Any:
    """Call ``cls.vmap`` with whole batches.

    Raises:
        RuntimeError: the function has ``generate_vmap_rule=True`` too, or the rule returns something else than a pair.
    """
    frame = state.vmap
    if cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overridden vmap "
            "staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to avoid "
            "ambiguity. For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"
        )
    leaves, spec = flatten(args)
    dims = [0 if isinstance(x, Tensor) and frame.is_batched(x._array()) else None for x in leaves]
    given = unflatten([_whole(frame, x) if dim == 0 else x for x, dim in zip(leaves, dims)], spec)
    first = nodes._sequence()
    state.vmap = frame.outer
    try:
        if all(dim is None for dim in dims):
            return cls.apply(*args)
        result = cls.vmap(VmapInfo(frame.size, frame.randomness), unflatten(dims, spec), *given)
        if not isinstance(result, tuple):
            raise RuntimeError(_TWO + f"Got a {type(result)} instead")
        if len(result) != 2:
            raise RuntimeError(_TWO + f"Got {len(result)} returns instead")
        outs, out_spec = flatten(result[0])
        out_dims = broadcast(result[1], out_spec)
        if out_dims is None:
            raise RuntimeError(f"{_TWO}Got out_dims {result[1]} for an output of structure {out_spec}")
        outs = [x if dim is None else x.movedim(dim, 0) for x, dim in zip(outs, out_dims)]
    finally:
        frame.regions.append((first, nodes._sequence()))
        state.vmap = frame
    return unflatten([x if dim is None else _one(frame, x) for x, dim in zip(outs, out_dims)], out_spec)


def _whole(frame: Frame, tensor: Tensor) -> Tensor:
    """The batch that a tensor is one example of."""
    array, _ = physical(frame, tensor._array())
    return tied(array, tensor._edge() if state.grad else None, tensor.device)


def _one(frame: Frame, tensor: Tensor) -> Tensor:
    """One example of a batch."""
    return tensor[Tensor._of(frame.index, tensor.device)]


def mark(node: Any, args: tuple) -> None:
    """Note which arguments of a custom function have one value for each example, for every vmap that is running."""
    frame, found = state.vmap, {}
    arrays = [a._array() if isinstance(a, Tensor) else None for a in args]
    while frame is not None:
        pairs = [(None, False) if a is None else physical(frame, a) for a in arrays]
        arrays = [a for a, _ in pairs]
        found[id(frame)] = tuple([flag for _, flag in pairs])
        frame = frame.outer
    node._batched = found


def settle_custom(frame: Frame, node: Any, flags: tuple, outs: tuple) -> None:
    """Turn the step of a custom function for one example into one for the batch.

    Args:
        flags: which inputs have one value for each example.
        outs: the same of the outputs.
    """
    saved, marks = [], []
    for tensor, cell, version, array, edge, device in node._saved or ():
        whole, flag = physical(frame, array)
        saved.append((None, None, 0, whole, edge, device) if flag else (tensor, cell, version, array, edge, device))
        marks.append(flag)
    held = {
        name: _whole(frame, value) for name, value in node.__dict__.items()
        if isinstance(value, Tensor) and frame.is_batched(value._array())
    }  # fmt: skip
    if not any(flags) and not any(marks) and not held:
        return
    node._saved = saved if node._saved is not None else None
    node.__dict__.update(held)
    level = tuple(marks), tuple(held), flags, frame.size, frame.randomness, outs
    node.__dict__["_levels"] = (*node.__dict__.get("_levels", ()), level)
    node.run = functools.partial(_run, node)


def _run(node: Any, grads: list, create_graph: bool) -> list:
    """What ``node.run`` does, for a batch."""
    if node._saved is None and any(level[0] for level in node._levels):
        raise RuntimeError(_FREED)
    if create_graph:
        return _level(node, len(node._levels), grads)
    with no_grad():
        found = _level(
            node, len(node._levels), [None if g is None else _plain(node, i, g) for i, g in enumerate(grads)]
        )
    return [g if g is None else g._array() for g in found]


def _plain(node, i, array) -> Tensor:
    return Tensor._of(array, node._shapes[i][2])


def _level(node: Any, depth: int, grads: list) -> list:
    """The gradients of the inputs, where the outermost ``depth`` batches are still there."""
    if not depth:
        return type(node).run(node, grads, True)
    from ._vmap import vmap

    marks, names, flags, size, randomness, outs = node._levels[depth - 1]
    # What is the same for all examples gets a gradient from each: they are summed.
    grads = [g if g is None or here else g / size for g, here in zip(grads, outs)]
    before, attributes = node._saved, {name: node.__dict__[name] for name in names}
    inner = [_saved(record) for record, mark in zip(before or (), marks) if mark]
    present = [g for g in grads if g is not None]
    dims = [
        *(0 for _ in inner),
        *(0 for _ in names),
        *(0 if here else None for g, here in zip(grads, outs) if g is not None),
    ]
    used: list = []

    def one(saved: list, held: list, given: list) -> tuple:
        supply, more = iter(saved), iter(given)
        try:
            if before is not None:
                node._saved = [_record(next(supply)) if mark else r for r, mark in zip(before, marks)]
            node.__dict__.update(zip(names, held))
            found = _level(node, depth - 1, [None if g is None else next(more) for g in grads])
        finally:
            node._saved = before
            node.__dict__.update(attributes)
        used[:] = [g is not None for g in found]
        return tuple(g for g in found if g is not None)

    cut = len(inner)
    batched = any(dim == 0 for dim in dims)
    if not batched:
        inner, dims = [*inner, _nothing(size)], [*dims[:cut], 0, *dims[cut:]]
    args = list(inner), list(attributes.values()), present
    in_dims = dims[: len(inner)], dims[len(inner) : len(inner) + len(names)], dims[len(inner) + len(names) :]
    results = iter(vmap(one, in_dims, 0, randomness)(*args))
    out = [next(results) if here else None for here in used]
    return [g if g is None or flag else g.sum(0) for g, flag in zip(out, flags)]


def _nothing(size: int) -> Tensor:
    return Tensor._of(jnp.zeros(size))


def _saved(record: tuple) -> Tensor:
    _, _, _, array, edge, device = record
    return tied(array, edge if state.grad else None, device)


def _record(tensor: Tensor) -> tuple:
    return tensor, tensor._storage, tensor._storage.version, tensor._array(), None, tensor.device


__all__ = ["VmapInfo", "by_rule", "mark", "settle_custom"]
