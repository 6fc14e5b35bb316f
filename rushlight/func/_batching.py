"""Owns what happens around a vmapped function: its frame, random numbers in it, and the tape once it is done.

May import the tensor cell, the tape, modes and jax. Inside, tensors hold JAX's batch tracers; the steps that were taped
hold them too, so that afterwards each is turned into the same step for the whole batch (``settle``).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._graph.modes import state
from .._graph.node import Node
from .._tensor.program import OpNode, Program
from .._tensor.tensor import Tensor

_IN_PLACE = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args "
    "that has more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped "
    "over in a vmap. Please try to use out-of-place operators instead of inplace arithmetic. If said operator is being "
    "called inside the PyTorch framework, please file a bug report instead."
)
_RANDOM = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
    "randomness flags on vmap or perform the randomness operation out of vmap"
)


class Frame:
    """One vmap that is running; ``state.vmap`` is the innermost.

    Args:
        size: of the batch.
        randomness: ``"error"``, ``"same"`` or ``"different"``.
        outer: the frame around this one.

    Attributes:
        regions: pairs of sequence numbers, between which steps were taped for the whole batch.
    """

    def __init__(self, size: int, randomness: str, outer: Frame | None):
        self.size, self.randomness, self.outer = size, randomness, outer
        self.index: Any = None
        self.drawn: Any = None
        self.regions: list = []

    def enter(self, index) -> None:
        """Note the tracer of each example's number."""
        self.index = index

    def is_batched(self, array) -> bool:
        """Whether an array has one value for each example of this frame."""
        index = self.index
        return type(array) is type(index) and array._trace is index._trace and array.batch_dim is not None

    def check_write(self, before, after) -> None:
        """Refuse to write values of several examples where there is place for one.

        Raises:
            RuntimeError: in torch's words.
        """
        frame: Frame | None = self
        while frame is not None:
            if frame.is_batched(after):
                if not frame.is_batched(before) and after is not self.drawn:
                    raise RuntimeError(_IN_PLACE)
                return
            frame = frame.outer

    def draw(self, make) -> Any:
        """Random numbers: one array for all examples, or one for each, as the frames say.

        Args:
            make: draws an array for one example.

        Raises:
            RuntimeError: a frame allows no random numbers.
        """
        frames: list[Frame] = []
        frame: Frame | None = self
        while frame is not None:
            if frame.randomness == "error":
                raise RuntimeError(_RANDOM)
            if frame.randomness == "different":
                frames.append(frame)
            frame = frame.outer
        if not frames:
            return make()
        sizes = [f.size for f in reversed(frames)]
        drawn = [make() for _ in range(int(np.prod(sizes)))]
        out = jnp.stack(drawn).reshape(*sizes, *drawn[0].shape)
        for f in reversed(frames):
            out = out[f.index]
        self.drawn = out
        return out


def tied(array, edge, device) -> Tensor:
    """A tensor for a whole batch, from which gradients go where they went from one example."""
    if edge is None or edge[1] is not None:
        return connected(array, edge, device)
    out = _Example._of(array, device, True)
    out.__dict__["_leaf_edge"] = edge
    return out


def physical(frame: Frame, array):
    """An array with the examples first, and whether it has them."""
    if not frame.is_batched(array):
        return array, False
    return (jnp.moveaxis(array.val, array.batch_dim, 0) if array.batch_dim else array.val), True


def _batched(program: Program, flags: tuple, outs: Any) -> Program:
    """The same step for a batch.

    Args:
        flags: which inputs have one value for each example.
        outs: the same of the outputs: a tuple, or one for a step with one output.
    """
    key = "vmap", flags, outs
    found = program._derivatives.get(key)
    if found is None:
        axes = tuple(0 if flag else None for flag in flags)
        out_axes = tuple(0 if flag else None for flag in outs) if isinstance(outs, tuple) else (0 if outs else None)
        made = jax.vmap(program.flat, in_axes=axes, out_axes=out_axes)
        found = program._derivatives[key] = Program(made, program.name, differentiable=program.differentiable)
    return found


def settle(frame: Frame, edges, batched, first: int) -> None:
    """Turn every step that was taped inside the frame into one for the whole batch, in place.

    Args:
        edges: where the outputs came from.
        batched: which of them have one value for each example.
        first: the sequence number of the first step inside.
    """
    from ._custom import settle_custom

    inside: list = []
    seen: set = set()
    stack = list(edges)
    while stack:
        edge = stack.pop()
        if edge is None or not isinstance(edge[0], Node) or id(edge[0]) in seen or edge[0].seq < first:
            continue
        seen.add(id(edge[0]))
        if not any(low < edge[0].seq < high for low, high in frame.regions):
            inside.append(edge[0])
        stack.extend(edge[0].edges)
    # An output is what its users got: whether it was batched is seen there.
    given: dict = {}
    for edge, flag in zip(edges, batched):
        _note(given, edge, flag)
    whole: dict = {}
    for node in inside:
        if type(node) is OpNode and node.arrays is not None:
            pairs = whole[id(node)] = [physical(frame, array) for array in node.arrays]
            for edge, (_, flag) in zip(node.edges, pairs):
                _note(given, edge, flag)
        else:
            for edge, flag in zip(node.edges, _marks(node, frame) or ()):
                _note(given, edge, flag)
    for node in inside:
        pairs = whole.get(id(node))
        if pairs is None:
            # Steps that carry hooks pass gradients on as they are.
            marks = _marks(node, frame)
            if marks is not None:
                settle_custom(frame, node, marks, tuple([given.get((id(node), i), True) for i in range(node.outputs)]))
        elif any(flag for _, flag in pairs):
            outs = tuple([given.get((id(node), i), True) for i in range(node.outputs)])
            node.arrays = [array for array, _ in pairs]
            node.program = _settled(node, tuple([flag for _, flag in pairs]), outs)


def _marks(node: Any, frame: Frame) -> tuple | None:
    """Which inputs of a custom function were batched; None for another step."""
    return dict(getattr(node, "_batched", ())).get(id(frame))


def _note(given: dict, edge, flag: bool) -> None:
    if edge is not None and edge[1] is not None:
        given[id(edge[0]), edge[1]] = flag


def _settled(node: OpNode, flags: tuple, outs: tuple) -> Program:
    program = node.program
    # A step with one output may give it by itself or in a tuple.
    key = "vmap single", len(node.arrays)
    single = program._derivatives.get(key)
    if single is None:
        shapes = [a if isinstance(a, jax.Array) else jnp.asarray(a) for a in node.arrays]
        shapes = [jax.ShapeDtypeStruct(a.shape[1:] if f else a.shape, a.dtype) for a, f in zip(shapes, flags)]
        single = program._derivatives[key] = not isinstance(jax.eval_shape(program.flat, *shapes), tuple)
    return _batched(program, flags, outs[0] if single else outs)


def entered(frame: Frame, tracer, physical: Tensor) -> Tensor:
    """One example of a tensor: what the function sees."""
    edge = physical._edge() if state.grad else None
    leaf = edge is not None and edge[1] is None
    out = (_Example if leaf else Tensor)._of(tracer, physical.device)
    if edge is not None:
        out._requires_grad = True
        if leaf:
            out.__dict__["_leaf_edge"] = edge
        else:
            out._node, out._index = edge
    return out


class _Example(Tensor):
    """One example of a leaf: its gradient goes to the leaf."""

    def _edge(self):
        return self.__dict__["_leaf_edge"] if self._node is None else (self._node, self._index)


def connected(array, edge, device) -> Tensor:
    """A tensor for a whole batch, at the place on the tape where its examples were."""
    out = Tensor._of(array, device)
    if edge is not None and edge[1] is not None:
        out._node, out._index = edge
        out._requires_grad = True
    return out
