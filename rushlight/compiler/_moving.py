"""Owns tensors whose data is replaced, as ``p.data = ...`` does: inside of a function, and between its calls.

May import the tensor class and what a program cannot repeat.
"""

from __future__ import annotations

from .._tensor.tensor import Tensor
from ._outside import Unsupported


class Data:
    """What a tensor holds, as an attribute that a function may replace.

    Args:
        tensor: the tensor.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor):
        self.tensor = tensor

    def get(self, name):
        """The tensor, whose storage is what the program takes."""
        return self.tensor

    def __setitem__(self, name, value):
        self.tensor.data = value


def find_data(trace, slots, outputs) -> list:
    """Tensors from outside that were given other data: they are given it on every call.

    Args:
        trace: the trace, whose function is over.
        slots: the attributes that were given tensors, whose storages the data may share.
        outputs: the arrays that the program gives, to which theirs are added.

    Raises:
        Unsupported: the data is shared otherwise, or of another kind.
    """
    found = []
    given = {id(where.get(name)._storage): at for where, name, at, *_ in slots}
    for t, home in zip(trace.foreign, [*trace.homes, *trace.private]):
        now = t._storage
        if now is home:
            continue
        array = t._array()
        if id(home) not in trace.places:
            raise Unsupported("'.data' of an argument is replaced", "Return the new value, or write it with copy_().")
        if id(now) in trace.places or any(now is s for s in trace.private):
            raise Unsupported("'.data' is given the memory of another tensor", "Write the values with .data.copy_().")
        sharing = [o for o, h in zip(trace.owners, trace.homes) if h is home]
        if t._base is not None or any(o._storage is home and id(o) not in trace.replaced for o in sharing):
            raise Unsupported("'.data' of a tensor with shared memory is replaced", "Write the values with copy_().")
        before = trace.given[trace.places[id(home)]]
        if array.shape != before.shape or array.dtype != before.dtype:
            raise Unsupported("'.data' is given another shape or dtype", "Do that outside the function.")
        at = None if t._path else given.setdefault(id(now), len(outputs))
        if at is None or at == len(outputs):
            at = len(outputs)
            outputs.append(array)
        found.append((Data(t), "data", at, Tensor, now.device))
    return found


def follow(entry) -> bool:
    """Let a program go on with tensors that were given other data of the same kind since its last run.

    Returns:
        bool: whether that is possible; if not, nothing changed.
    """
    moved, stayed = {}, set()
    for tensor, storage, *_ in entry.tensors:
        now = tensor._storage
        if now is storage:
            stayed.add(id(storage))
        elif storage is not None and (
            tensor._path
            or _kind(now) != _kind(storage)
            or id(now) in entry.state_ids
            or moved.setdefault(id(storage), now) is not now
        ):
            return False
    if not stayed.isdisjoint(moved) or len({id(s) for s in moved.values()}) < len(moved):
        return False
    entry.tensors = [(t, moved.get(id(s), s), *rest) for t, s, *rest in entry.tensors]
    for storages in entry.storage_lists():
        storages[:] = [moved.get(id(s), s) for s in storages]
    entry.state_ids = {id(s) for s in entry.fixed}
    entry.result.kinds = [
        (k[0], moved.get(id(k[1]), k[1]), k[2]) if k[0] == "shared" else k for k in entry.result.kinds
    ]
    entry.unsettled = True
    return True


def _kind(storage) -> tuple:
    return storage.form.shape, storage.form.dtype, storage.device
