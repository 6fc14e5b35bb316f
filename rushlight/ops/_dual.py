"""Owns tangents: what every operator does besides while a level of forward derivatives is open.

May import the door, the tensor cell, the modes and jax; ``modes.state.dual`` is the open level.
"""

from __future__ import annotations

import weakref
from typing import Any

import jax
import jax.numpy as jnp

from .._graph.modes import state
from .._tensor.program import Program
from .._tensor.tensor import Tensor
from . import _execute


class Level:
    """A level of forward derivatives: which tensors have a tangent in it.

    A tangent is a tensor; that of a view is a view of its base's, so that writing through either reaches both.
    """

    def __init__(self):
        self.holders: list = []

    def close(self) -> None:
        """Forget all tangents."""
        for holder in self.holders:
            tensor = holder()
            if tensor is not None:
                tensor.__dict__.pop("_tangent", None)
        self.holders.clear()

    def put(self, tensor: Tensor, tangent: Any) -> None:
        """Give a tensor its tangent; False stands for none, not even its base's."""
        tensor._tangent = tangent
        self.holders.append(weakref.ref(tensor))

    def get(self, tensor: Tensor) -> Tensor | None:
        """The tangent of a tensor; one that a view has by its base is found here."""
        found, base = tensor._tangent, tensor._base
        if found is None and base is not None and isinstance(base._tangent, Tensor):
            found = _viewed(base._tangent, tensor._relative)
            self.put(tensor, found)
        return None if found is False else found

    def part(self, tensor: Tensor) -> Tensor:
        """Keep a view apart from its base: neither has the other's tangent."""
        self.put(tensor, False)
        return tensor

    def execute(self, program: Program, inputs, cls) -> Any:
        """What ``_execute.execute`` does, with tangents."""
        tangents = [self.get(x) if isinstance(x, Tensor) else None for x in inputs]
        with paused():
            out = _execute.execute(program, inputs, cls)
            if not program.differentiable or state.inference or all(t is None for t in tangents):
                return out
            outs = out if type(out) is tuple else (out,)
            node = outs[0]._node if outs else None
            if node is not None:
                node.metadata["tangents"] = tangents
            places = [i for i, o in enumerate(outs) if jnp.issubdtype(o._form().dtype, jnp.inexact)]
            if places:
                push = _pushforward(program, tuple([t is not None for t in tangents]), tuple(places))
                moved = _execute.execute(push, [*inputs, *(t for t in tangents if t is not None)])
                for place, tangent in zip(places, moved):
                    self.put(outs[place], tangent)
        return out

    def restored(self, node, saved: list, first: int) -> list:
        """What a step saved, with the tangents that it had.

        Args:
            first: the place of the first saved input among all.
        """
        for tensor, tangent in zip(saved, node.metadata.get("tangents", ())[first:]):
            if tangent is not None:
                self.put(tensor, tangent)
        return saved

    def settled(self, tensor: Tensor) -> Tensor:
        """A tensor without its history, with its tangent."""
        out, tangent = tensor.detach(), self.get(tensor)
        if tangent is not None:
            self.put(out, tangent.detach())
        return out

    def view(self, out: Tensor, base: Tensor, step: tuple) -> None:
        """Let the tangent of a new view be a view too."""
        tangent = self.get(base)
        out.__dict__.pop("_tangent", None)
        if tangent is not None and not state.inference:
            self.put(out, _viewed(tangent, (step,)))
        elif base._tangent is False:
            self.part(out)

    def assign(self, tensor: Tensor, value: Tensor) -> None:
        """Follow ``tensor._assign(value)``: what is written takes its tangent along."""
        if tensor is value or state.inference:
            return
        given, own = self.get(value), self.get(tensor)
        if given is None and own is None:
            return
        with paused():
            if given is None:
                given = _zeros(value)
            base = tensor._base
            if own is None and base is not None and tensor._tangent is None:
                if not isinstance(base._tangent, Tensor):
                    self.put(base, _zeros(base))
                own = self.get(tensor)
            if own is None:
                self.put(tensor, given)
            else:
                own._assign(given)


class paused:
    """No tangents inside the block: what is computed there is not differentiated forwards."""

    def __enter__(self) -> None:
        self._level, state.dual = state.dual, None

    def __exit__(self, *exc) -> None:
        state.dual = self._level


def _zeros(like: Tensor) -> Tensor:
    array = like._form()
    if isinstance(array, jax.ShapeDtypeStruct):
        return Tensor._of(array, like.device)
    return Tensor._of(jnp.zeros(array.shape, array.dtype), like.device)


def _viewed(tensor: Tensor, steps) -> Tensor:
    with paused():
        for program, dynamic in steps:
            tensor = _execute.view_of(tensor, program, dynamic)
    return tensor


def _pushforward(program: Program, mask: tuple, places: tuple) -> Program:
    """The Jacobian-vector product of a program.

    Args:
        mask: which inputs have a tangent.
        places: which outputs can have one.

    Returns:
        Program: of (inputs..., tangents...), giving a tuple with a tangent for each of ``places``.
    """
    key = "jvp", mask, places
    found = program._derivatives.get(key)
    if found is None:
        found = program._derivatives[key] = Program(_jvp(program, mask, places), f"{program.name}_jvp")
    return found


def _jvp(program: Program, mask: tuple, places: tuple):
    count = len(mask)

    def product(*args):
        inputs, tangents = args[:count], args[count:]
        wanted = [jnp.asarray(a) for a, m in zip(inputs, mask) if m]
        # A tangent may have another dtype than its primal; the product is linear, so that the primal's will do.
        tangents = [t.astype(w.dtype) for t, w in zip(tangents, wanted)]

        def primal(*wanted):
            supply = iter(wanted)
            return program.flat(*(next(supply) if m else a for a, m in zip(inputs, mask)))

        try:
            _, moved = jax.jvp(primal, wanted, tangents)
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
            raise NotImplementedError(
                f"Trying to use forward AD with {program.name}, which has a rule for reverse mode only. Use "
                "torch.autograd.grad instead."
            ) from None
        moved = moved if isinstance(moved, tuple) else (moved,)
        return tuple([moved[i] for i in places])

    return product
