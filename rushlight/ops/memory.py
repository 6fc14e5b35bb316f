"""Owns what changes a tensor's size or place in memory, and the methods that torch has for layouts other than strided.

May import the shapes, the tensor cell and jax.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from .. import dtypes
from .._errors import not_supported
from .._hooks import changes
from .._tensor.tensor import Tensor, to_device
from ._op import Array, attach, method, op
from .convert import convert
from .creation import empty, from_numpy, tensor
from .reduce import sum as _sum
from .shape import _into_shape, as_strided, sizes_of, swapdims, view_whole


@op(name="resize", method=False, differentiable=False)
def _resized(input: Array, size):
    flat, total = input.reshape(-1), math.prod(size)
    short = max(total - flat.shape[0], 0)
    return jnp.concatenate([flat, jnp.zeros(short, flat.dtype)])[:total].reshape(size)


@method()
def resize_(self, *sizes, size=None, memory_format=None):
    """Change the size in place; elements keep their order, and new ones are zero.

    Raises:
        RuntimeError: the tensor requires a gradient, or is a view.
    """
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    size = sizes_of(sizes if size is None else (size,))
    if any(n < 0 for n in size):
        raise RuntimeError(f"Trying to resize tensor with negative dimension {min(size)}: {list(size)}")
    if self._path:
        raise RuntimeError("resize_: expected a tensor that owns its memory, received a view. Use .reshape() instead.")
    self._storage.write(_resized(self, size)._array())
    changes.count += 1  # the storage has another shape
    self._history += 1
    return self


@method()
def resize_as_(self, the_template, *, memory_format=None):
    """Change the size in place to that of another tensor."""
    return self.resize_(the_template.shape)


def _resize(name):
    def method_(self, *sizes):
        raise not_supported(f"Tensor.{name}", f"Use Tensor.{name}_.")

    method_.__name__ = method_.__qualname__ = name
    return method_


attach("resize", _resize("resize"))
attach("resize_as", _resize("resize_as"))
attach("as_strided_", _into_shape(as_strided))
_swap = _into_shape(swapdims)
attach("swapdims_", _swap)
attach("swapaxes_", _swap)


@method()
def new_empty_strided(self, size, stride, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """A tensor of the given size with this tensor's dtype and device; XLA chooses its layout."""
    return self.new_empty(size, dtype=dtype, device=device, requires_grad=requires_grad)


@method()
def sum_to_size(self, *size):
    """The sum over the dimensions in which ``size`` has been broadcast.

    Raises:
        RuntimeError: ``size`` does not broadcast to this tensor's.
    """
    size = sizes_of(size)
    lead = self.dim() - len(size)
    if lead < 0 or any(n not in (1, m) for n, m in zip(size, self.shape[max(lead, 0) :])):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(self.shape)}}}.")
    if not size:
        return _sum(self)
    dims = [*range(lead), *(i + lead for i, n in enumerate(size) if n == 1 and self.shape[i + lead] != 1)]
    return _sum(self, tuple(dims)).reshape(size) if dims else self


@method()
def fill_diagonal_(self, fill_value, wrap=False):
    """Set the main diagonal to one value.

    Args:
        wrap: begin again after the last row of a tall matrix.

    Raises:
        RuntimeError: fewer than two dimensions, or more whose sizes differ.
    """
    shape = self.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    mask = np.zeros(math.prod(shape), bool)
    step = sum(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    end = mask.size if wrap and len(shape) == 2 else step * min(shape)
    mask[:end:step] = True
    return self.masked_fill_(Tensor._of(to_device(mask.reshape(shape), self.device), self.device), fill_value)


@method()
def chalf(self, memory_format=None):
    """The tensor as torch.complex32: the nearest numbers of half precision, which operators compute with as complex64.

    Example:
        >>> import rushlight as torch
        >>> torch.tensor([1 + 0.1j]).chalf()
        tensor([1.+0.1000j], dtype=torch.complex32)
    """
    return convert(self, None, dtypes.complex32)


# -- Python functions over elements ---------------------------------------------------------------------------------


def _over(name, count):
    def over(self, *arguments):
        *others, function = arguments if count else (*arguments,)
        if self.device.type != "cpu":
            raise TypeError(f"{name} is only implemented on CPU tensors")
        if self.requires_grad:
            raise RuntimeError(f"Can't call {name} on Variable that requires grad. Use tensor.detach() instead.")
        lists = [np.broadcast_to(t._host(), self.shape).reshape(-1).tolist() for t in (self, *others)]
        values = np.array([function(*items) for items in zip(*lists)])
        host = values.reshape(self.shape).astype(self.dtype.np)
        return self._assign(Tensor._of(to_device(host, self.device), self.device))

    over.__name__ = over.__qualname__ = name
    over.__doc__ = "Replace every element by what a Python function gives for it; slow, on the CPU."
    attach(name, over)


for _name, _count in {"apply_": 0, "map_": 1, "map2_": 2}.items():
    _over(_name, _count)


# -- layouts --------------------------------------------------------------------------------------------------------


@method()
def as_subclass(self, cls):
    """The same contents, storage and history as a tensor of class ``cls``."""
    if not issubclass(cls, Tensor):
        raise RuntimeError(f"Creating a Tensor subclass from a class that does not inherit from Tensor: {cls}")
    if self._node is None and self._edge() is not None:
        self = view_whole(self)  # a leaf stays one, and the gradient of the result reaches it
    out = cls._alias(self)
    for name in ("_node", "_index", "_requires_grad", "_base", "_relative", "_seen"):
        setattr(out, name, getattr(self, name))
    return out


def _make_subclass(cls, data, require_grad=False):
    """A leaf of class ``cls`` over the contents of ``data``."""
    return cls._alias(data, bool(require_grad))


def _make_wrapper_subclass(cls, *args, **kwargs):
    raise not_supported(
        "Tensor._make_wrapper_subclass", "Operators do not call __torch_dispatch__; hold a tensor in an attribute."
    )


for _function in (_make_subclass, _make_wrapper_subclass):
    setattr(Tensor, _function.__name__, staticmethod(_function))


@method()
def dim_order(self, *, ambiguity_check=False):
    """The dimensions from the outermost in memory to the innermost."""
    strides = self.stride()
    return tuple(sorted(range(self.dim()), key=lambda d: -strides[d]))


@method()
def is_set_to(self, tensor) -> bool:
    """Whether both are the same view of the same storage."""
    return self._storage is tensor._storage and self._geometry() == tensor._geometry()


@method()
def is_same_size(self, other) -> bool:
    """Whether the shapes are equal."""
    return self.shape == other.shape


@method()
def to_dense(self, dtype=None, *, masked_grad=True):
    """The tensor itself, or in another dtype: every tensor here is dense."""
    return self if dtype is None else convert(self, None, dtype)


@method()
def dense_dim(self) -> int:
    """The number of dimensions."""
    return self.dim()


@method()
def sparse_dim(self) -> int:
    """Always 0: every tensor here is dense."""
    return 0


def _without_layout(name):
    def layout(self, *args, **kwargs):
        raise not_supported(f"Tensor.{name}", "rushlight has no sparse, quantized or nested layout; use dense tensors.")

    layout.__name__ = layout.__qualname__ = name
    layout.__doc__ = "Not offered, and raises NotImplementedError: rushlight has dense tensors alone."
    attach(name, layout)


for _name in (
    "to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc", "to_mkldnn",
    "to_padded_tensor", "sparse_mask", "sparse_resize_", "sparse_resize_and_clear_", "coalesce", "is_coalesced",
    "indices", "values", "crow_indices", "col_indices", "ccol_indices", "row_indices", "smm", "sspaddmm",
    "dequantize", "int_repr", "q_scale", "q_zero_point", "q_per_channel_scales", "q_per_channel_zero_points",
    "q_per_channel_axis", "qscheme",
):  # fmt: skip
    _without_layout(_name)


def sparse_coo_tensor(*args, **kwargs):
    """Refused: rushlight has no sparse layout.

    Raises:
        NotImplementedError: always.

    Example:
        >>> import rushlight as torch
        >>> torch.zeros(2, 2).index_put((torch.tensor([0, 1]), torch.tensor([1, 0])), torch.tensor([3.0, 4.0]))
        tensor([[0., 3.],
                [4., 0.]])
    """
    raise not_supported(
        "torch.sparse_coo_tensor",
        "Use a dense tensor: torch.zeros(size).index_put(tuple(indices), values, accumulate=True).",
    )


def empty_permuted(size, physical_layout, **options):
    """A tensor of the given size; XLA chooses its layout, so the order of dimensions in memory is not kept."""
    if sorted(physical_layout) != list(range(len(size))):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = "
            f"{len(size)} is not equal to len(physical_layout) = {len(physical_layout)}"
            if len(physical_layout) != len(size)
            else "Duplicate dim not allowed in physical_layout"
        )
    return empty(size, **options)


def _shape_as_tensor(input):
    """The shape as an int64 tensor."""
    return tensor(list(input.shape), dtype=dtypes.int64)


def _numpy_result(self, array, context=None, return_scalar=False):
    """What numpy's own functions of a tensor give: a tensor."""
    return from_numpy(np.asarray(array))


attach("__array_wrap__", _numpy_result)


@method()
def const_data_ptr(self) -> int:
    """``data_ptr``."""
    return self.data_ptr()


@method()
def storage_type(self):
    """The class of the memory behind the tensor."""
    return type(self.untyped_storage())


@method()
def module_load(self, other, assign=False):
    """What a module keeps when its state is loaded: ``other`` itself if ``assign``, else this tensor, copied into."""
    if assign:
        return other.detach()
    return self.detach().copy_(other)


for _name in ("is_distributed", "is_ipu", "is_maia", "is_mtia", "is_sparse_csr", "is_vulkan", "volatile"):
    attach(_name, property(lambda self: False))
attach("is_distributed", lambda self: False)
attach("name", property(lambda self: None))
attach("grad_dtype", property(lambda self: self.dtype))

__all__ = ["_shape_as_tensor", "empty_permuted", "is_same_size", "sparse_coo_tensor"]
