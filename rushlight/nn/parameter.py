"""Owns ``Parameter`` and ``Buffer``, the tensors that a module registers, and their forms without a shape yet.

May import the tensor cell, the tape and creation operators.
"""

from __future__ import annotations

import sys
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
            found._storage, found._path = self._storage.read_as(self._array(), self._storage.device), ()
            found._node, found._index, found._requires_grad = None, 0, self._requires_grad
            memo[id(self)] = found
        return found

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"Parameter containing:\n{text}" if text.startswith("tensor(") else f"Parameter({text})"


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


_data: Any = Tensor.__dict__.get("data") or Tensor.data


class _Nothing(Storage):
    """Stands where a storage will be: it tells a dtype, and refuses to be read or written."""

    __slots__ = ("form_", "kind")

    def __init__(self, like: Tensor, kind: str):
        self.form_ = like._form()
        self.kind = kind
        self.device = like._storage.device
        self.version = 0

    @property
    def form(self) -> Any:
        return self.form_

    @property
    def array(self) -> Any:
        raise _refused(_user(), self.kind)

    @array.setter
    def array(self, value) -> None:
        raise _refused(_user(), self.kind)


def _user() -> str:
    """What is being called, as torch prints it."""
    frame = sys._getframe(2)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "__call__" and type(owner).__name__ == "Op":
            return repr(owner)
        frame = frame.f_back
    return "an operation"


def _refused(what: str, kind: str) -> ValueError:
    return ValueError(
        f"Attempted to use an uninitialized parameter in {what}. This error happens when you are using a `LazyModule` "
        f"or explicitly manipulating `torch.nn.parameter.{kind}` objects. When using LazyModules Call `forward` with a "
        "dummy batch to initialize the parameters before calling torch functions"
    )


class UninitializedTensorMixin:
    """What parameters and buffers without a shape have in common: they wait for ``materialize``.

    They can be moved and cast; whatever else is done with one raises a ValueError.
    """

    cls_to_become: type
    _storage: Any
    _requires_grad: bool

    @property
    def requires_grad(self) -> bool:
        """Whether gradients will be recorded for it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        Tensor.requires_grad_(cast(Any, self), value)

    @property
    def data(self) -> Any:
        """An empty tensor of the dtype and on the device that it will have."""
        return creation.empty(0, device=self._storage.device, dtype=dtypes.from_numpy(self._storage.form.dtype))

    @data.setter
    def data(self, value) -> None:
        _data.__set__(self, value)
        if value.numel() == 0:
            self._storage = _Nothing(value, type(self).__name__)

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
        _data.__set__(self, creation.empty(shape, device=device, dtype=dtype))
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> dtypes.Size:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def copy_(self, src, non_blocking: bool = False):
        """There is nothing to copy into yet."""
        return self

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
            out = cls._alias(creation.empty(0, device=device, dtype=dtype), requires_grad)
        out._storage = _Nothing(out, cls.__name__)
        return out


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
        out._storage = _Nothing(out, cls.__name__)
        out.persistent = persistent
        out._is_buffer = True
        return out


# What torch allows besides; the casts give an ordinary empty tensor where they change something.
_ALLOWED = frozenset(("size", "copy_", "is_complex", "is_floating_point", "get_device", "share_memory_", "materialize"))
_CASTS = ("half", "float", "double", "char", "short", "int", "long", "cuda", "cpu", "to")
_OPERATORS = (
    "add radd iadd sub rsub isub mul rmul imul truediv rtruediv itruediv floordiv rfloordiv mod rmod pow rpow matmul "
    "rmatmul and rand or ror xor rxor lt le gt ge eq ne neg pos abs invert getitem setitem len iter contains bool int "
    "float index complex"
)


def _guard(name: str):
    def refuse(self, *args, **kwargs):
        raise _refused(f"<method '{name}' of 'torch.Tensor' objects>", type(self).__name__)

    refuse.__name__ = name
    return refuse


def _cast(name: str):
    def cast(self, *args, **kwargs):
        before = self.data
        after = getattr(before, name)(*args, **kwargs)
        if after.dtype is before.dtype and after.device == before.device:
            return self
        if isinstance(self, UninitializedBuffer):
            # A module puts what comes of moving a buffer in its place.
            return type(self)(self.requires_grad, after.device, after.dtype, self.__dict__["persistent"])
        return after

    cast.__name__ = name
    return cast


def _guard_all() -> None:
    own = vars(UninitializedTensorMixin)
    public = [n for n in dir(Tensor) if n[0] != "_" and callable(getattr(Tensor, n)) and n not in _ALLOWED]
    for name in [*public, *(f"__{word}__" for word in _OPERATORS.split())]:
        if name not in own:
            setattr(UninitializedTensorMixin, name, _guard(name))
    for name in _CASTS:
        setattr(UninitializedTensorMixin, name, _cast(name))


_guard_all()

__all__ = [
    "Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "UninitializedTensorMixin", "is_lazy",
]  # fmt: skip
