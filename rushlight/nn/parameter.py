"""Owns ``Parameter`` and ``Buffer``, the tensors that a module registers, and their forms without a shape yet.

May import the tensor cell, the tape and creation operators.
"""

from __future__ import annotations

from typing import Any, cast

from .. import dtypes
from .._graph.modes import no_grad
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ..ops import creation


class _Kind(type):
    """Lets ``isinstance`` see parameters and buffers that keep a class of their own."""

    def __instancecheck__(cls, instance) -> bool:
        if isinstance(instance, Tensor) and instance.__dict__.get(cls.__dict__.get("_mark", "")):
            return True
        return super().__instancecheck__(instance)


def _tensor(data, what: str) -> Tensor:
    if data is None:
        return creation.empty(0)
    if not isinstance(data, Tensor):
        raise AttributeError(
            f"'{type(data).__name__}' object has no attribute 'detach': {what}() expected a Tensor, received "
            f"{type(data).__name__}. Make a tensor of it first, with torch.tensor(data)."
        )
    return data


class Parameter(Tensor, metaclass=_Kind):
    """A tensor that a module registers as its parameter when it is assigned to an attribute.

    Shares its storage with ``data``; has no history.

    Args:
        data: the contents; None for an empty tensor.
        requires_grad: whether gradients are recorded for it.

    Shape: that of ``data``.

    Raises:
        AttributeError: ``data`` is not a tensor.
        RuntimeError: ``requires_grad`` with a dtype that is neither floating point nor complex.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Parameter(torch.zeros(2))
        Parameter containing:
        tensor([0., 0.], requires_grad=True)
    """

    _mark = "_is_param"

    def __new__(cls, data=None, requires_grad: bool = True):
        data = _tensor(data, "nn.Parameter")
        if requires_grad and data.dtype.category < 2:
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients: nn.Parameter() received "
                f"{data.dtype!r}. Pass requires_grad=False, or register the tensor as a buffer."
            )
        kind = type(data)
        if kind is Tensor or issubclass(kind, Parameter) or issubclass(cls, kind):
            return cls._alias(data, bool(requires_grad))
        # A tensor of the user's own class stays one; the mark makes it a parameter.
        own: Any = kind._alias(data, bool(requires_grad))
        own._is_param = True
        return own

    def __deepcopy__(self, memo):
        found = memo.get(id(self))
        if found is None:
            found = object.__new__(type(self))
            found._storage, found._path = Storage(self._array(), self._storage.device), ()
            found._node, found._index, found._requires_grad = None, 0, self._requires_grad
            memo[id(self)] = found
        return found

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor, metaclass=_Kind):
    """A tensor that a module registers as a buffer when it is assigned to an attribute.

    Args:
        data: the contents; None for an empty tensor.
        persistent: whether it is part of the ``state_dict``.

    Shape: that of ``data``.

    Raises:
        AttributeError: ``data`` is not a tensor.

    Example:
        >>> import rushlight as torch
        >>> isinstance(torch.nn.Buffer(torch.zeros(2)), torch.nn.Buffer)
        True
    """

    _mark = "_is_buffer"

    def __new__(cls, data=None, *, persistent: bool = True):
        data = _tensor(data, "nn.Buffer")
        out: Any = (Tensor if isinstance(data, Parameter) else type(data))._alias(data, data.requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out


class UninitializedTensorMixin:
    """What parameters and buffers without a shape have in common: they wait for ``materialize``."""

    cls_to_become: type
    data: Any
    requires_grad: Any

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Give the tensor a shape and memory; it becomes an ordinary parameter or buffer.

        Args:
            shape: its shape.
            device: where; default: where it was declared.
            dtype: default: as declared.
        """
        if dtype is None:
            dtype = self.data.dtype
        if device is None:
            device = self.data.device
        self.data = creation.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> dtypes.Size:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __deepcopy__(self, memo):
        found, kind = memo.get(id(self)), cast(Any, type(self))
        if found is None:
            found = memo[id(self)] = kind(self.requires_grad, self.data.device, self.data.dtype)
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol):
        return type(self), (self.requires_grad,)


def is_lazy(param) -> bool:
    """Whether a tensor still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known yet.

    Args:
        requires_grad: as for ``Parameter``.
        device, dtype: what it will have.

    Example:
        >>> import rushlight as torch
        >>> p = torch.nn.UninitializedParameter()
        >>> p.materialize((2, 3))
        >>> p.shape
        torch.Size([2, 3])
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device=None, dtype=None):
        with no_grad():
            return cls._alias(creation.empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet.

    Args:
        requires_grad: whether gradients are recorded for it.
        device, dtype: what it will have.
        persistent: whether it is part of the ``state_dict``.
    """

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        out: Any = cls._alias(creation.empty(0, device=device, dtype=dtype), requires_grad)
        out.persistent = persistent
        out._is_buffer = True
        return out


__all__ = [
    "Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin", "is_lazy",
]  # fmt: skip
