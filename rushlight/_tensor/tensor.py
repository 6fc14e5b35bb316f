"""Owns ``Tensor``: the cell with its public autograd methods, copying and pickling.

May import the tape, dtypes, device and this folder; operators attach themselves, so none is imported here.
"""

# The generated tensor.pyi describes this class with its operators attached; to a type checker these are two classes.
# pyright: reportReturnType=false, reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import jax
import numpy as np

from .. import _device as devices
from .. import dtypes
from .._graph.engine import Values
from .._graph.modes import Held, state
from .._graph.node import RemovableHandle, _Hooks
from .cell import Cell
from .half_complex import label
from .overriding import PLAIN, Overridable, exact
from .storage import Storage
from .to_python import ToPython


class Tensor(ToPython, Overridable):
    """A multi-dimensional array that records what is done to it; mutable, on top of immutable JAX arrays.

    Shape: any. dtypes: all of ``rushlight.dtypes``.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    def __new__(cls, *args, dtype=None, device=None, **kwargs):
        return Values.construct(cls, args, dtype, device)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
        if self._base is not None:
            return self._edge() is not None
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch recording for this leaf on or off.

        Raises:
            RuntimeError: not a leaf, or not a floating point or complex dtype.
        """
        value = bool(requires_grad)
        if self._edge() is not None and self._node is not None:
            if not value:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                    "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return self
        if value and not np.issubdtype(self._form().dtype, np.inexact) and self.dtype.category < 2:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if value and self._inference and not state.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        if self._requires_grad != value:
            self._requires_grad = value
            if self._base is None:
                self._history += 1
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor has no recorded history."""
        self._edge()
        return self._node is None

    @property
    def grad_fn(self):
        """The step of the tape that made this tensor; None for a leaf."""
        self._edge()
        return self._node

    @property
    def output_nr(self) -> int:
        return self._index if self._node is not None else 0

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient."""
        held = self._grad
        if type(held) is Held:
            held.opened = True
            held = self._grad = held.value
        return held

    @grad.setter
    def grad(self, value) -> None:
        if value is not None and not self._alike(value):
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                    f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same size"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{value.dtype!r}' to a tensor with grad_dtype "
                    f"'{self.dtype!r}'. The gradient must match the tensor's dtype; convert it with .to(param.dtype)."
                )
            if value.device != self.device:
                raise RuntimeError("assigned grad has data located on a different device")
        self._grad = value

    def _alike(self, other) -> bool:
        """Whether ``other`` is plainly a gradient for this tensor; False where a closer look is needed."""
        if type(other) is not Tensor or other is self:
            return False
        # An array's own ``shape`` and ``dtype`` go through Python; its type description has them at hand.
        one, two = self._storage, other._storage
        if one.device is not two.device:
            return False
        plain = one.__class__ is Storage is two.__class__ and not (self._path or other._path)
        mine, theirs = (one.array, two.array) if plain else (self._form(), other._form())
        mine, theirs = getattr(mine, "aval", mine), getattr(theirs, "aval", theirs)
        return mine.shape == theirs.shape and mine.dtype == theirs.dtype

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """The same contents with no history; writing to it writes to this tensor."""
        return Tensor._alias(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._storage, self._path = value._storage, value._path
        self._cache, self._cache_version, self._strides = None, -1, None

    def detach(self) -> Tensor:
        """The same contents with no history, sharing the storage."""
        out = object.__new__(Tensor)  # ``_alias`` without the cost of its call: a state dict has one for each tensor
        out._storage = self._storage
        out._path = self._path
        out._node = None
        out._index = 0
        out._requires_grad = False
        return out

    def detach_(self) -> Tensor:
        """Forget the history of this tensor.

        Raises:
            RuntimeError: the tensor is a view.
        """
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._index, self._requires_grad = None, 0, False
        self._history += 1
        return self

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
        """Compute gradients of this tensor with respect to the leaves of its graph, and add them to ``.grad``.

        Args:
            gradient: the gradient of this tensor; needed unless it has one element.
            retain_graph: keep the graph for another backward; default: as ``create_graph``.
            create_graph: make the gradients differentiable.
            inputs: accumulate into these only.

        Raises:
            RuntimeError: no graph, or no ``gradient`` for a tensor of several elements.
        """
        Values.backward((self,), (gradient,), retain_graph, create_graph, inputs)

    def register_hook(self, hook) -> RemovableHandle:
        """Call ``hook(grad)`` when this tensor's gradient is known; what it returns replaces the gradient.

        Raises:
            RuntimeError: the tensor does not require a gradient.
        """
        edge = self._edge()
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if edge[1] is not None:
            return edge[0].add_tensor_hook(edge[1], hook)
        if self._hooks is None:
            self._hooks = _Hooks()
        handle = RemovableHandle(self._hooks)
        self._hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(self, hook) -> RemovableHandle:
        """Call ``hook(self)`` each time a gradient has been added to ``.grad`` of this leaf."""
        edge = self._edge()
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if edge[1] is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._post_hooks is None:
            self._post_hooks = _Hooks()
        handle = RemovableHandle(self._post_hooks)
        self._post_hooks[handle.id] = hook
        return handle

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this non-leaf tensor too."""
        edge = self._edge()
        if edge is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if edge[1] is not None and not self._retains:
            self._retains = True
            edge[0].retain(edge[1], self)

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def _is_view(self) -> bool:
        return self._base is not None

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
                "moment.  If you were attempting to deepcopy a module, this may be because of a torch.nn.utils."
                "weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
            )
        found = memo.get(id(self))
        if found is not None:
            return found
        storage = memo.get(id(self._storage))
        if storage is None:
            storage = self._storage.read_as(self._storage.array, self._storage.device)
            memo[id(self._storage)] = storage
        out = object.__new__(type(self))
        out._storage, out._path = storage, self._path
        out._node, out._index, out._requires_grad = None, 0, self._requires_grad
        memo[id(self)] = out
        if self.grad is not None:
            out._grad = self.grad.__deepcopy__(memo)
        extra = self._extra_attributes()
        if extra:
            from copy import deepcopy

            out.__dict__.update(deepcopy(extra, memo))
        return out

    def _extra_attributes(self) -> dict:
        """What the user has set on the tensor, without our own state."""
        return {k: v for k, v in self.__dict__.items() if k not in _OWN} if self.__dict__ else {}

    def __reduce_ex__(self, protocol):
        if not self.is_leaf:
            raise RuntimeError(
                "Tensor with history cannot be pickled: expected a leaf, received the output of "
                f"{self._node.name()}. Call .detach() first."
            )
        kind = type(self)
        return _rebuild, (
            kind, np.asarray(self._host()), self.dtype.name, str(self.device), self._requires_grad,
            self._extra_attributes(),
        )  # fmt: skip


exact.tensor = Tensor
PLAIN.add(Tensor)

# What the instance dict may hold of our own; the rest is the user's.
_OWN = frozenset(name for name in Cell.__dict__ if name.startswith("_") and not name.startswith("__"))


def to_device(array, where: devices.device):
    """Put a numpy or jax array on a (resolved) device."""
    if where.type == "meta":
        return jax.ShapeDtypeStruct(array.shape, array.dtype)
    return jax.device_put(array, devices.jax_device(where))


def from_host(host: np.ndarray, where=None, requires_grad=False, cls=Tensor):
    """A tensor with a copy of a numpy array's contents."""
    where = devices.resolve(where)
    return cls._of(to_device(np.array(host, copy=True), where), where, requires_grad)


def _rebuild(kind, host, dtype_name, where, requires_grad, extra):
    where = devices.resolve(where)
    d = dtypes.named(dtype_name)
    out = kind._of(to_device(host.astype(d.np, copy=False), where), where, requires_grad)
    if d is dtypes.complex32:
        label(out)
    out.__dict__.update(extra)
    return out
