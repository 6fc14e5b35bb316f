"""Owns what a call carries: arguments and results are copied as if they went far away, tensors with gradients.

May import the tensor cell, the operators' class and the gradients' contexts.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops._op import Op
from .. import autograd

# Classes whose objects arrive as what a function makes of them, instead of as a copy: references, for one.
carried: dict[type, Callable[[Any], Any]] = {}


def _carried_tensor(tensor: Tensor) -> Tensor:
    """The tensor that arrives: on the same tape within a context of distributed gradients, a copy otherwise."""
    if tensor.requires_grad and autograd._current() is not None:
        return tensor.clone()
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.held: list = []
        self._places: dict[int, tuple[int, Any]] = {}

    def persistent_id(self, obj: Any) -> int | None:
        kind = type(obj)
        if kind is Tensor:
            make: Callable[[Any], Any] | None = _carried_tensor
        elif isinstance(obj, Op):
            make = _same
        else:
            make = carried.get(kind)
        if make is None:
            return None
        if id(obj) not in self._places:
            # The object is kept besides its place, so that its id stays its own.
            self._places[id(obj)] = len(self.held), obj
            kept: Any = obj
            self.held.append(make(kept))
        return self._places[id(obj)][0]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, held: list):
        super().__init__(file)
        self._held = held

    def persistent_load(self, pid: int) -> Any:
        return self._held[pid]


def _same(value: Any) -> Any:
    return value


def pack(value: Any) -> tuple[bytes, list]:
    """What goes on its way.

    Raises:
        Exception: what ``pickle`` raises for what it cannot copy, such as a lambda.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return file.getvalue(), pickler.held


def unpack(packed: tuple[bytes, list]) -> Any:
    """What arrives; for one arrival, since tensors are copied when they leave."""
    data, held = packed
    return _Unpickler(io.BytesIO(data), held).load()
