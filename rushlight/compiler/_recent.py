"""Owns recognising a call that is like the one before, which is most calls, without building its signature.

May import the modes and the defaults that a signature holds.
"""

from __future__ import annotations

from .. import _device, dtypes
from .._graph.modes import state
from ._tree import Leaves


class Recent:
    """The last call of a compiled function, where it had tensors alone as positional arguments.

    Args:
        entry: the program that it ran.
        tensors: its arguments.
    """

    __slots__ = ("autocast", "default", "device", "entry", "given", "grad", "inference", "shared")

    def __init__(self, entry, tensors):
        self.entry = entry
        self.grad, self.inference, self.autocast = state.grad, state.inference, state.autocast
        self.default, self.device = dtypes.default_dtype(), _device.default_device()
        self.given = [
            (a.shape, a.dtype, t._storage.device, t._edge() is not None, type(t)) for t in tensors for a in [t._array()]
        ]
        self.shared = _shared(tensors) if len(tensors) > 1 and entry.minds_memory else None

    def leaves(self, args) -> Leaves | None:
        """The leaves of a call with the same signature; None for any other."""
        given = self.given
        if (
            len(args) != len(given) or state.grad is not self.grad or state.inference is not self.inference
            or state.autocast is not self.autocast or dtypes.default_dtype() is not self.default
            or _device.default_device() is not self.device
        ):  # fmt: skip
            return None
        leaves = Leaves()
        for place, (t, (shape, dtype, device, tracked, kind)) in enumerate(zip(args, given)):
            if type(t) is not kind:
                return None
            array = t._array()
            if (
                array.shape != shape or array.dtype != dtype or t._storage.device is not device
                or (t._edge() is not None) is not tracked
            ):  # fmt: skip
                return None
            leaves.index[id(t)] = place
        if len(leaves.index) != len(args) or (self.shared is not None and _shared(args) != self.shared):
            return None
        leaves.tensors.extend(args)
        return leaves


def recent(entry, args, kwargs, leaves) -> Recent | None:
    """What to remember of a call; None where it had more than distinct tensors in a row."""
    tensors = leaves.tensors
    alone = not kwargs and len(tensors) == len(args) and all(map(_is, tensors, args))
    return Recent(entry, tensors) if alone else None


def _shared(tensors) -> list:
    """Which of some tensors share memory: for each, the first that has the same."""
    storages = [id(t._storage) for t in tensors]
    return list(map(storages.index, storages))


def _is(a, b) -> bool:
    return a is b
