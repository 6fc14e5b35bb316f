"""Owns ``Tensor``: storage, optional view path, autograd state, and the conversions to Python and numpy.

May import the tape, dtypes, device and this folder; operators attach themselves, so none is imported here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .. import _device as devices
from .. import dtypes
from .._graph import engine
from .._graph.engine import Values
from .._graph.modes import state
from .._graph.node import RemovableHandle, _Hooks
from . import printing, views
from .storage import Storage, UntypedStorage

_IN_PLACE_LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
_IN_PLACE_VIEW = "a view of a leaf Variable that requires grad is being used in an in-place operation."


class TensorBase:
    """The slots every tensor has; rarer state lives in the instance dict, over the defaults in ``Tensor``."""

    __slots__ = ("__dict__", "__weakref__", "_index", "_node", "_path", "_requires_grad", "_storage")


class Tensor(TensorBase):
    """A multi-dimensional array that records what is done to it; mutable, on top of immutable JAX arrays.

    Shape: any. dtypes: all of ``rushlight.dtypes``.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    _grad: Tensor | None = None
    _hooks: dict | None = None
    _post_hooks: dict | None = None
    _base: Tensor | None = None
    _history = 0
    _seen = 0
    _relative: tuple = ()
    _cache = None
    _cache_version = -1
    _retains = False
    _inference = False
    _strides: tuple | None = None
    __array_priority__ = 1000

    def __new__(cls, *args, dtype=None, device=None, **kwargs):
        return Values.construct(cls, args, dtype, device)

    # -- making and reading -------------------------------------------------------------------------------------

    @classmethod
    def _of(cls, array, device=None, requires_grad=False):
        """Wrap a jax array (no copy)."""
        self = object.__new__(cls)
        self._storage = Storage(array, device or devices.cpu)
        self._path = ()
        self._node = None
        self._index = 0
        self._requires_grad = requires_grad
        return self

    @classmethod
    def _alias(cls, other: Tensor, requires_grad=False):
        """A tensor of class ``cls`` over the same storage and path, with no history."""
        self = object.__new__(cls)
        self._storage = other._storage
        self._path = other._path
        self._node = None
        self._index = 0
        self._requires_grad = requires_grad
        return self

    def _array(self):
        """The jax array that the tensor now stands for."""
        if not self._path:
            return self._storage.array
        storage = self._storage
        if self._cache_version != storage.version:
            array = storage.array
            if isinstance(array, jax.ShapeDtypeStruct):
                for program, dynamic in self._path:
                    array = jax.eval_shape(program.flat, array, *dynamic)
                self._cache = array
            else:
                self._cache = views.read(array, self._path)
            self._cache_version = storage.version
        return self._cache

    def _write(self, array) -> None:
        """Replace the contents (same shape and dtype), through the view path where there is one."""
        storage = self._storage
        if not self._path:
            storage.write(array)
        elif isinstance(storage.array, jax.ShapeDtypeStruct):
            storage.write(storage.array)
        else:
            storage.write(views.write(storage.array, self._path, array))
            self._cache, self._cache_version = array, storage.version

    def _edge(self):
        """Where this tensor's gradient goes: (node, index), (itself, None) for a leaf, or None."""
        base = self._base
        if base is not None and self._seen != base._history:
            self._rebase(base)
        if self._node is not None:
            return self._node, self._index
        return (self, None) if self._requires_grad else None

    def _rebase(self, base: Tensor) -> None:
        """The base was written in place: this view is now a view of what it became."""
        self._seen = base._history
        edge = base._edge()
        if edge is None:
            return
        array = base._array()
        for program, dynamic in self._relative:
            node = Values.node(program, (array, *dynamic), (edge, *(None for _ in dynamic)), 1)
            array = program.fwd(array, *dynamic)
            edge = node, 0
        self._node, self._index = edge
        self._requires_grad = True

    def _check_in_place(self) -> None:
        """Refuse what torch refuses, before anything changes."""
        if self._inference and not state.inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to get "
                "a normal tensor before doing inplace update."
            )
        if not state.grad:
            return
        edge = self._edge()
        if edge is not None and edge[1] is None:
            raise RuntimeError(_IN_PLACE_LEAF)
        base = self._base
        if base is not None:
            edge = base._edge()
            if edge is not None and edge[1] is None:
                raise RuntimeError(_IN_PLACE_VIEW)

    def _assign(self, value: Tensor) -> Tensor:
        """Become ``value`` in place: its contents, and its history where one is recorded."""
        base = self._base
        array = value._array()
        if state.grad:
            edge = value._edge()
            if base is None:
                if edge is not None:
                    self._node, self._index = edge
                    self._requires_grad = True
                    self._history += 1
            else:
                base_edge = base._edge()
                if edge is not None or base_edge is not None:
                    program, dynamic = views.copy_program(self._relative)
                    arrays = (base._array(), array, *dynamic)
                    node = Values.node(program, arrays, (base_edge, edge, *(None for _ in dynamic)), 1)
                    self._write(array)
                    base._node, base._index, base._requires_grad = node, 0, True
                    base._history += 1
                    return self
        self._write(array)
        return self

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> dtypes.Size:
        """The size of each dimension."""
        return dtypes.Size(self._array().shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        return dtypes._FROM_NP[self._array().dtype]

    @property
    def device(self) -> devices.device:
        """Where the tensor lives."""
        return self._storage.device

    @property
    def layout(self) -> dtypes.layout:
        return dtypes.strided

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._array().shape)

    @property
    def itemsize(self) -> int:
        return self._array().dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.numel() * self.itemsize

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._array().shape)

    ndimension = dim

    def size(self, dim: int | None = None):
        """The shape, or the size of one dimension.

        Raises:
            IndexError: there is no such dimension.
        """
        shape = self._array().shape
        if dim is None:
            return dtypes.Size(shape)
        if not -len(shape) <= dim < max(len(shape), 1) or not shape:
            low, high = (-len(shape), len(shape) - 1) if shape else (-1, 0)
            if not shape and low <= dim <= high:
                raise IndexError("Dimension specified as 0 but tensor has no dimensions")
            raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")
        return shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return int(self._array().size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._array().dtype.itemsize

    def _geometry(self):
        if not self._path:
            return self._array().shape, views.contiguous_strides(self._array().shape), 0
        found = self._strides
        if found is None:
            found = self._strides = views.geometry(self._storage.array.shape, self._path)
        return found

    def stride(self, dim: int | None = None):
        """torch's strides, in elements (JAX chooses the real layout itself)."""
        strides = self._geometry()[1]
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """torch's offset of the first element in the storage, in elements."""
        return self._geometry()[2]

    def is_contiguous(self, memory_format=dtypes.contiguous_format) -> bool:
        """Whether the elements lie row-major without gaps."""
        shape, strides, _ = self._geometry()
        if memory_format in (dtypes.channels_last, dtypes.channels_last_3d):
            count = 4 if memory_format is dtypes.channels_last else 5
            if len(shape) != count:
                return False
            order = [0, *range(2, count), 1]
            return views.is_contiguous([shape[i] for i in order], [strides[i] for i in order])
        return views.is_contiguous(shape, strides)

    def untyped_storage(self) -> UntypedStorage:
        """The memory behind the tensor: equal for tensors that share it."""
        return UntypedStorage(self._storage)

    storage = untyped_storage

    def data_ptr(self) -> int:
        """A number that is equal for tensors that start at the same element of the same storage."""
        return id(self._storage) + self.storage_offset() * self.itemsize

    @property
    def _version(self) -> int:
        return self._storage.version

    is_cuda = property(lambda self: self._storage.device.type == "cuda")
    is_cpu = property(lambda self: self._storage.device.type == "cpu")
    is_meta = property(lambda self: self._storage.device.type == "meta")
    is_xla = property(lambda self: self._storage.device.type == "tpu")
    is_sparse = is_quantized = is_mps = is_mkldnn = is_nested = is_xpu = property(lambda self: False)
    names = property(lambda self: (None,) * self.dim())

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating point type."""
        return self.dtype.category == 2

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self.dtype.category == 3

    def is_signed(self) -> bool:
        """Whether the dtype is signed."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode."""
        return self._inference

    def is_shared(self) -> bool:
        """Arrays are never in shared memory; worker processes copy them."""
        return False

    def share_memory_(self) -> Tensor:
        """Accepted; arrays are copied between processes, so nothing has to move."""
        return self

    def get_device(self) -> int:
        """The CUDA index, or -1 on the CPU."""
        d = self._storage.device
        return -1 if d.type == "cpu" else d.index or 0

    # -- autograd -----------------------------------------------------------------------------------------------

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
        if value and not np.issubdtype(self._array().dtype, np.inexact) and self.dtype.category < 2:
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
        return self._grad

    @grad.setter
    def grad(self, value) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self.shape:
                raise RuntimeError(
                    "assigned grad has data of a different size: expected "
                    f"{list(self.shape)}, received {list(value.shape)}. Assign a gradient of the tensor's own shape."
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: expected {self.dtype!r}, received {value.dtype!r}. "
                    "Convert the gradient with .to(param.dtype) first."
                )
            if value.device != self.device:
                raise RuntimeError("assigned grad has data located on a different device")
        self._grad = value

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
        return Tensor._alias(self)

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

    # -- to Python ----------------------------------------------------------------------------------------------

    def _host(self) -> np.ndarray:
        """A read-only numpy array of the contents."""
        array = self._array()
        if isinstance(array, jax.ShapeDtypeStruct):
            raise NotImplementedError(
                "Cannot copy out of meta tensor; no data! Expected a tensor with contents, received one on 'meta'. "
                "Materialise it with to_empty(device=...) and fill it first."
            )
        return np.asarray(array)

    def item(self):
        """The one element as a Python number.

        Raises:
            RuntimeError: the tensor has not exactly one element.
        """
        array = self._array()
        if array.size != 1:
            raise RuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
        return self._host().item() if self.dtype.category != 2 else float(self._host().reshape(()))

    def tolist(self):
        """Nested lists of Python numbers (a number for a scalar)."""
        host = self._host()
        if host.dtype.kind not in "biufc" or host.dtype == np.float16:
            host = host.astype(np.float32)
        return host.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A numpy copy of the contents (arrays underneath are immutable, so memory is not shared).

        Raises:
            RuntimeError: the tensor requires grad.
            TypeError: numpy has no such dtype, or the tensor is not on the CPU.
        """
        if not force:
            if self.requires_grad:
                raise RuntimeError(
                    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
                )
            if self.device.type != "cpu":
                raise TypeError(
                    f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                    "host memory first."
                )
        if self.dtype.np.kind not in "biufc":
            raise TypeError(f"Got unsupported ScalarType {_SCALAR_NAMES.get(self.dtype.name, self.dtype.name)}")
        return np.array(self._host())

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        host = self._host() if copy is False else self.numpy()
        return host if dtype is None else host.astype(dtype, copy=False)

    def __dlpack__(self, *, stream=None, **kwargs):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self._array().__dlpack__(stream=stream, **kwargs)

    def __dlpack_device__(self):
        return self._array().__dlpack_device__()

    def __jax_array__(self):
        return self._array()

    def __bool__(self) -> bool:
        size = self._array().size
        if size != 1:
            amount = "no values" if size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {amount} is ambiguous")
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.category > 1 or self._array().size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        shape = self._array().shape
        if not shape:
            raise TypeError("len() of a 0-d tensor")
        return shape[0]

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return Values.render(self)

    def __format__(self, spec: str) -> str:
        if self.dim() == 0 and not self.is_meta and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    # -- copying and pickling -----------------------------------------------------------------------------------

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
            storage = memo[id(self._storage)] = Storage(self._storage.array, self._storage.device)
        out = object.__new__(type(self))
        out._storage, out._path = storage, self._path
        out._node, out._index, out._requires_grad = None, 0, self._requires_grad
        memo[id(self)] = out
        if self._grad is not None:
            out._grad = self._grad.__deepcopy__(memo)
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


_OWN = frozenset(
    ["_grad", "_hooks", "_post_hooks", "_base", "_history", "_seen", "_relative", "_cache", "_cache_version", "_retains", "_inference", "_strides"]
)
_SCALAR_NAMES = {
    "bfloat16": "BFloat16",
    "float8_e4m3fn": "Float8_e4m3fn",
    "float8_e5m2": "Float8_e5m2",
    "float8_e4m3fnuz": "Float8_e4m3fnuz",
    "float8_e5m2fnuz": "Float8_e5m2fnuz",
    "float8_e8m0fnu": "Float8_e8m0fnu",
}


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
    out = from_host(host.astype(dtypes.ALL[dtype_name].np, copy=False), where, requires_grad, kind)
    out.__dict__.update(extra)
    return out


# -- what the reverse walk does with gradients --------------------------------------------------------------------

_add_arrays = jax.jit(lambda a, b: a + b)


def _add(a, b):
    return a + b if isinstance(a, Tensor) else _add_arrays(a, b)


def _wrap(grad):
    traced = isinstance(grad, jax.core.Tracer)
    return Tensor._of(grad, None if traced else devices.of_jax(next(iter(grad.devices()))))


def _accumulate(leaf: Tensor, grad, create_graph: bool) -> None:
    held = leaf._grad
    if create_graph:
        leaf._grad = grad if held is None else held + grad
    elif held is None:
        leaf._grad = Tensor._of(grad, leaf._storage.device)
    else:
        held._write(_add_arrays(held._array(), grad))
    if leaf._post_hooks:
        for hook in tuple(leaf._post_hooks.values()):
            hook(leaf)


def _has_nan(grad) -> bool:
    array = grad._array() if isinstance(grad, Tensor) else grad
    return bool(jnp.isnan(array).any()) if jnp.issubdtype(array.dtype, jnp.inexact) else False


class _Saved(Tensor):
    """A saved input whose gradient goes to the leaf that it was read from."""

    def _edge(self):
        return self.__dict__["_leaf_edge"]


def _saved_for(array, edge):
    """A tensor for a saved input, tied to where that input came from; plain numbers stay as they are."""
    if edge is None and not isinstance(array, jax.Array):
        return array
    if edge is not None and edge[1] is None:
        out = _Saved._of(array, edge[0]._storage.device, True)
        out._leaf_edge = edge
        return out
    out = _wrap(array)
    if edge is not None:
        out._requires_grad = True
        out._node, out._index = edge
    return out


def _render(tensor: Tensor) -> str:
    node = tensor.grad_fn
    return printing.tensor_repr(
        None if tensor.is_meta else tensor._array(),
        tensor.dtype,
        is_meta=tensor.is_meta,
        shape=tensor.shape,
        device=str(tensor.device),
        requires_grad=tensor.requires_grad,
        grad_fn=None if node is None else node.name(),
    )


Values.render = staticmethod(_render)
Values.wrap = staticmethod(_wrap)
Values.unwrap = staticmethod(lambda tensor: tensor._array())
Values.add = staticmethod(_add)
Values.accumulate = staticmethod(_accumulate)
Values.has_nan = staticmethod(_has_nan)
Values.saved = staticmethod(_saved_for)
__all__ = ["Tensor", "engine", "from_host", "to_device"]
