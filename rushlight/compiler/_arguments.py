"""Owns what arguments look like inside of a traced function: strides, place in memory, base and history, as outside.

May import the tensor class, its views and programs, the modes and what a program cannot repeat. What a function asks
for becomes a guard; what it does not ask for may differ from call to call.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from .._graph.modes import state
from .._tensor import views
from .._tensor.program import Program
from .._tensor.storage import Storage, UntypedStorage
from .._tensor.tensor import Tensor
from ._contents import ours
from ._outside import Unsupported
from ._roots import _attributes

_OWN = ("_base", "_cache", "_cache_version", "_history", "_relative", "_seen", "_strides", "_unread")


def _strides(tensor):
    """The strides of a view, None where they are those of a contiguous tensor."""
    if not tensor._path:
        return None
    shape, strides, _ = tensor._geometry()
    return None if tuple(strides) == views.contiguous_strides(shape) else tuple(strides)


def _step(tensor):
    tensor._edge()
    return None if tensor._node is None else tensor._node.name()


LOOKS: dict[str, Any] = {
    "strides": _strides,
    "offset": lambda tensor: tensor._geometry()[2] if tensor._path else 0,
    "memory": lambda tensor: tensor._storage.form.size,
    "grad_fn": _step,
    "base": lambda tensor: id(tensor.__dict__.get("_base")),
}


class Arguments:
    """The arguments of a trace as they are outside.

    Args:
        tensors: the arguments, about to be replaced by stand-ins.

    Attributes:
        asked: what the function asked for, by place and question.
    """

    def __init__(self, tensors):
        self.asked: dict = {}
        self.real = [_copy(t) for t in tensors]
        self._places = {id(t): i for i, t in enumerate(tensors)}
        self._homes: dict = {}

    def stand_in(self, tensor, array) -> None:
        """Let a tensor hold ``array`` alone, and look as it did before; those of others look contiguous."""
        i = self._places.get(id(tensor))
        tensor._storage, tensor._path = Storage(array, tensor._storage.device), ()
        if i is not None:
            program: Any = Program(_same, "argument")
            program.fwd = _same
            program.scatter_ = lambda array, value: self._put(i, value)
            program.geometry = lambda shape, strides, offset: self._geometry(i, shape, strides, offset)
            tensor._path = ((program, ()),)
            self._homes[id(tensor._storage)] = i
        for name in _OWN:
            tensor.__dict__.pop(name, None)

    def ask(self, i: int, what: str):
        """Note a question, and answer it."""
        self.asked[i, what] = answer = LOOKS[what](self.real[i])
        return answer

    def place(self, tensor) -> int | None:
        """Which argument a tensor is."""
        return self._places.get(id(tensor))

    def leaf(self, tensor) -> int | None:
        """Which argument a tensor is, unless it was given a history inside."""
        return self._places.get(id(tensor)) if tensor._node is None else None

    def home(self, tensor) -> int | None:
        """In which argument's memory a tensor is."""
        return self._homes.get(id(tensor._storage))

    def whole(self, tensor) -> None:
        """Make sure that the memory of a tensor holds nothing but what the trace was given of it.

        Raises:
            Unsupported: an argument is a view of something else.
        """
        i = self.home(tensor)
        if i is not None and [self.ask(i, what) for what in ("strides", "offset", "memory")] != [
            None,
            0,
            self.real[i]._form().size,
        ]:
            raise Unsupported("as_strided() looks beyond an argument that is a view", "Pass a copy of it.")

    def _put(self, i, value):
        """What an argument holds when ``value`` is written to it: some views may not be written."""
        if any(step == 0 and n > 1 for step, n in zip(self.ask(i, "strides") or (), value.shape)):
            raise Unsupported("an argument whose elements share memory is written", "Pass a copy of it.")
        return value

    def _geometry(self, i, shape, strides, offset):
        if tuple(shape) != tuple(self.real[i]._form().shape):
            return shape, strides, offset
        self.ask(i, "strides")
        return self.real[i]._geometry()


def _copy(tensor):
    out = object.__new__(Tensor)
    for name in ("_storage", "_path", "_node", "_index", "_requires_grad"):
        setattr(out, name, getattr(tensor, name))
    out.__dict__.update(tensor.__dict__)
    return out


def _same(array):
    return array


class looking:
    """Answers questions about arguments, for the length of a block.

    Args:
        trace: whose arguments; in the trace of a layer, they look like contiguous leaves.
    """

    def __init__(self, trace):
        if trace.outer is not None:
            self._new = {}
            return
        self._new: dict = {
            "is_leaf": property(_is_leaf(vars(Tensor)["is_leaf"].fget)),
            "grad_fn": property(_grad_fn(vars(Tensor)["grad_fn"].fget)),
            "_is_view": _is_view,
            "storage_offset": _storage_offset(Tensor.storage_offset),
            "untyped_storage": _untyped_storage,
            "storage": _untyped_storage,
            "data_ptr": _data_ptr,
            "_check_in_place": _check_in_place(Tensor._check_in_place),
        }
        if any("_base" in _attributes(code) for _, code in trace.found.code):  # the machinery uses it all the time
            self._new["_base"] = property(_get_base, _set_base)

    def __enter__(self):
        self._old = {name: vars(Tensor)[name] for name in self._new if name in vars(Tensor)}
        for name, value in self._new.items():
            setattr(Tensor, name, value)

    def __exit__(self, *error):
        for name in self._new:
            if name in self._old:
                setattr(Tensor, name, self._old[name])
            else:
                delattr(Tensor, name)


_NOBODY = Arguments(())


def _looks() -> Arguments:
    return _NOBODY if state.trace is None else state.trace.looks


def _is_leaf(plain):
    def is_leaf(self):
        looks = _looks()
        i = looks.leaf(self)
        return plain(self) if i is None else looks.ask(i, "grad_fn") is None

    return is_leaf


def _grad_fn(plain):
    def grad_fn(self):
        looks = _looks()
        i = looks.leaf(self)
        if i is None:
            return plain(self)
        return None if looks.ask(i, "grad_fn") is None else looks.real[i]._node

    return grad_fn


def _is_view(self):
    looks, found = _looks(), self.__dict__.get("_base")
    i = looks.place(self) if found is None else None
    return found is not None if i is None else looks.ask(i, "base") != id(None)


def _get_base(self):
    """To users, the base that an argument has outside, and views of it too."""
    looks, found = _looks(), self.__dict__.get("_base")
    if ours(SimpleNamespace(__module__=sys._getframe(1).f_globals.get("__name__"))):
        return found
    i = looks.place(self if found is None else found)
    if i is None or looks.ask(i, "base") == id(None):
        return found
    return looks.real[i].__dict__["_base"]


def _set_base(self, value):
    self.__dict__["_base"] = value


def _storage_offset(plain):
    def storage_offset(self):
        looks = _looks()
        i = looks.home(self)
        if i is not None:
            looks.ask(i, "offset")
        return plain(self)

    return storage_offset


def _untyped_storage(self):
    looks = _looks()
    i = looks.home(self)
    if i is None:
        return UntypedStorage(self._storage)
    looks.ask(i, "memory")
    return UntypedStorage(looks.real[i]._storage)


def _data_ptr(self):
    return self.untyped_storage().data_ptr() + self.storage_offset() * self.itemsize


def _check_in_place(plain):
    def check_in_place(self):
        looks = _looks()
        if state.grad:
            root = self if self._base is None else self._base
            i = looks.leaf(root)
            if i is not None and root._requires_grad and looks.ask(i, "grad_fn") is not None:
                raise Unsupported(
                    "an in-place operation gives an argument that has a history another one",
                    "Return the new value instead.",
                )
        plain(self)

    return check_in_place
