"""Owns every contact between checkpoints and tensors, parameters and modules: taking them apart and making them.

May import the tensor and the view operators; nn is imported when a file holds a parameter.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from rushlight import dtypes
from rushlight._device import meta
from rushlight._tensor import views
from rushlight._tensor.half_complex import HalfStorage, label, to_bits
from rushlight._tensor.storage import Storage
from rushlight._tensor.tensor import Tensor, from_host, to_device
from rushlight._tensor.unread import Unread
from rushlight.ops.shape import _as_strided, _permute

from .brief import brief
from .inert import FOREIGN, ForeignDtype, InertTensor, check_scheme
from .storages import LoadedStorage

# What reading an expanded view may cost beyond the bytes that the file really holds.
_EXPANSION = 1 << 30


class Description(NamedTuple):
    """A tensor as a file stores it.

    Attributes:
        cell: the storage object; equal storages are the same object.
        flat: the storage's elements as a flat array of the tensor's dtype, or of as many bits where numpy has no such
            dtype; None on the meta device.
        dtype: the tensor's dtype.
        offset, size, stride: its geometry, in elements of its dtype.
        requires_grad: whether it records operations.
        location: torch's tag for its device.
    """

    cell: Any
    flat: np.ndarray | None
    dtype: dtypes.dtype
    offset: int
    size: tuple
    stride: tuple
    requires_grad: bool
    location: str


def describe(tensor: Tensor) -> Description:
    """Take a tensor apart."""
    cell = tensor._storage
    flat = None
    if cell.device.type != "meta":
        flat = np.asarray(cell.array).reshape(-1)
        if tensor.dtype is dtypes.complex32:
            flat = to_bits(flat)
        elif flat.dtype != tensor.dtype.np:
            flat = flat.view(tensor.dtype.np)
    # PyTorch needs an add-on to place tensors on a TPU; as CPU tensors everybody can read them.
    location = "cpu" if cell.device.type in ("cpu", "tpu") else str(cell.device)
    return Description(
        cell, flat, tensor.dtype, int(tensor.storage_offset()), tuple(int(n) for n in tensor.shape),
        tuple(int(n) for n in tensor.stride()), bool(tensor.requires_grad), location,
    )  # fmt: skip


def warn_hooks(tensor: Tensor) -> None:
    """Hooks are not saved; say so, as torch does."""
    if tensor._hooks:
        warnings.warn(
            f"backward hook {list(tensor._hooks.values())} on tensor will not be serialized. If this is expected, you "
            "can decorate the function with @torch.utils.hooks.unserializable_hook to suppress this warning",
            stacklevel=2,
        )


def parameter_class() -> type | None:
    """``nn.Parameter``, once it is imported."""
    return getattr(sys.modules.get("rushlight.nn.parameter"), "Parameter", None)


def is_parameter(obj) -> bool:
    """Whether a tensor is saved as a parameter."""
    kind = parameter_class()
    return kind is not None and type(obj) is kind


def make_tensor(storage: LoadedStorage, offset, size, stride, requires_grad, dtype: Any = None, flags=None):
    """Make the tensor that a file describes; tensors over one storage share it.

    Args:
        storage: from the file.
        offset, size, stride: in elements.
        requires_grad: as saved.
        dtype: where the storage is untyped.
        flags: torch's lazy ``conj`` and ``neg`` bits, which are carried out here.

    Returns:
        Tensor; an :class:`InertTensor` where JAX has no such element type.

    Raises:
        RuntimeError: the geometry reaches outside the storage.
        TypeError: a value has the wrong type.
    """
    if isinstance(dtype, dtypes.dtype):
        dtype = FOREIGN.get(dtype.name, dtype)
    foreign = dtype if isinstance(dtype, ForeignDtype) else None
    own = (foreign.carrier if foreign else dtype) or getattr(storage, "dtype", None)
    if not isinstance(storage, LoadedStorage) or not isinstance(own, dtypes.dtype):
        raise TypeError(
            f"tensor in a checkpoint: expected a storage and a dtype, received {brief(storage)}, {brief(dtype)}"
        )
    foreign = foreign or storage.kind.foreign
    if foreign is None:
        return _flagged(_strided(storage, offset, size, stride, own), requires_grad, flags)
    data = _strided(storage, offset, size, stride, own)
    return InertTensor("packed", foreign, size, {"data": data}, False, (offset, tuple(size), tuple(stride)))


def make_quantized(storage: LoadedStorage, offset, size, stride, params, requires_grad) -> InertTensor:
    """Describe a quantized tensor.

    Raises:
        TypeError, ValueError, RuntimeError: the description contradicts itself.
    """
    foreign = storage.kind.foreign if isinstance(storage, LoadedStorage) else None
    if foreign is None:
        raise TypeError(f"quantized tensor in a checkpoint: expected a quantized storage, received {brief(storage)}")
    size, stride = _whole(size, "size"), _whole(stride, "stride")
    (offset,) = _whole((offset,), "storage_offset")
    parts = check_scheme(params, size)
    if foreign.per_byte == 1:
        data = _strided(storage, offset, size, stride, foreign.carrier)
    else:
        available = storage.nbytes()
        _check_bounds(size, stride, offset, 1, available * foreign.per_byte)
        data = _strided(storage, 0, (available,), (1,), foreign.carrier)
    return InertTensor("quantized", foreign, size, {"data": data, **parts}, bool(requires_grad), (offset, size, stride))


def make_converted(data, dtype, requires_grad) -> Tensor:
    """A tensor of an accelerator, which is saved as host values and the dtype that they had there."""
    if not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"tensor in a checkpoint: expected a dtype, received {brief(dtype)}")
    host = np.asarray(data._array()) if isinstance(data, Tensor) else data
    return _flagged(from_host(host.astype(dtype.np)).to(dtype), requires_grad, None)


def _flagged(tensor: Tensor, requires_grad, flags) -> Tensor:
    if flags:
        tensor = _carry_out(tensor, flags)
    if requires_grad:
        tensor.requires_grad_(True)
    return tensor


def _strided(storage: LoadedStorage, offset, size, stride, dtype: dtypes.dtype) -> Tensor:
    """The tensor with this geometry over a storage; nothing is read where the storage can wait."""
    itemsize = dtype.itemsize
    size, stride = _whole(size, "size"), _whole(stride, "stride")
    (offset,) = _whole((offset,), "storage_offset")
    count = storage.nbytes() // itemsize
    _check_bounds(size, stride, offset, itemsize, storage.nbytes())
    order = sorted(range(len(size)), key=lambda i: (-stride[i], -size[i], i))
    ordered = tuple(size[i] for i in order)
    dense = offset == 0 and math.prod(size) == count
    whole = dense and views.is_contiguous(size, stride)
    permuted = dense and not whole and views.is_contiguous(ordered, [stride[i] for i in order])
    cell = _cell(storage, dtype, size if whole else ordered if permuted else (count,))
    tensor = object.__new__(Tensor)
    tensor._storage, tensor._path, tensor._node, tensor._index, tensor._requires_grad = cell, (), None, 0, False
    if whole and tuple(cell.form.shape) == size:
        return tensor
    if permuted and tuple(cell.form.shape) == ordered:
        program = _permute.prepare((tensor, tuple(order.index(i) for i in range(len(size)))))[0]
    else:
        program = _as_strided.prepare((tensor, size, stride, offset))[0]
    path = tensor._path = ((program, ()),)
    if storage.device.type != "meta":
        # numpy reads the view, where XLA would first compile a program for each new geometry.
        def read(array):
            if isinstance(array, Tracer):
                return program.fwd(array)
            return to_device(_window(np.asarray(array), size, stride, offset), storage.device)

        tensor._unread = Unread(size, dtype.np, read, path, cell.version)
    return tensor


def _cell(storage: LoadedStorage, dtype: dtypes.dtype, shape: tuple) -> Storage:
    """The tensor storage behind a file's storage, made when the first tensor over it is."""
    cell = storage.cell
    if cell is not None:
        if storage.seen_as is dtype:
            return cell
        warnings.warn(
            f"two tensors see one storage of the checkpoint as {storage.seen_as!r} and as {dtype!r}; they do not "
            "share memory after loading.",
            stacklevel=2,
        )
    where = storage.device

    def read():
        return to_device(storage.elements(dtype).reshape(shape), where)

    if where.type == "meta":
        made = _kind_of(dtype)(jax.ShapeDtypeStruct(shape, dtype.np), where)
    elif storage.lazy:
        made = _kind_of(dtype).unread_as(shape, dtype.np, where, read)
    else:
        made = _kind_of(dtype)(read(), where)
    if cell is None:
        storage.cell, storage.seen_as = made, dtype
    return made


def _kind_of(dtype: dtypes.dtype) -> Any:
    return HalfStorage if dtype is dtypes.complex32 else Storage


def _labelled(tensor: Tensor, dtype: dtypes.dtype) -> Tensor:
    return label(tensor) if dtype is dtypes.complex32 else tensor


def _window(array: np.ndarray, size: tuple, stride: tuple, offset: int) -> np.ndarray:
    """What a view with this geometry, already checked, sees of an array's memory; a copy."""
    if 0 in size:
        return np.empty(size, array.dtype)
    step = array.dtype.itemsize
    data = array.reshape(-1).view(np.uint8)
    seen = np.ndarray(size, array.dtype, data, offset * step, tuple(s * step for s in stride))
    return np.ascontiguousarray(seen).reshape(size)


def _carry_out(tensor: Tensor, flags) -> Tensor:
    if not isinstance(flags, dict) or set(flags) - {"conj", "neg"}:
        raise TypeError(f"tensor in a checkpoint: expected the flags conj and neg, received {brief(flags)}")
    array: Any = tensor._array()
    if tensor.is_meta:
        return _labelled(
            Tensor._of(array, meta), tensor.dtype
        )  # of its own, because the values would not be those of the storage
    if flags.get("conj"):
        array = array.conj()
    if flags.get("neg"):
        array = -array
    return _labelled(Tensor._of(array, tensor.device), tensor.dtype)


def _whole(values, what: str) -> tuple:
    if not isinstance(values, (tuple, list)) or len(values) > 64:
        raise TypeError(f"tensor in a checkpoint: expected a tuple for its {what}, received {brief(values)}")
    if any(type(n) is not int or n < 0 or n >= 1 << 62 for n in values):
        raise RuntimeError(f"tensor in a checkpoint: expected {what} of whole numbers >= 0, received {brief(values)}")
    return tuple(values)


def _check_bounds(size: tuple, stride: tuple, offset: int, itemsize: int, available: int) -> None:
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(stride)} strides, {len(size)} sizes")
    if 0 in size:
        return
    needed = (offset + sum((n - 1) * s for n, s in zip(size, stride)) + 1) * itemsize
    if needed > available:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {itemsize} "
            f"requiring a storage size of {needed} are out of bounds for storage of size {available}. The file is "
            "damaged."
        )
    if math.prod(size) * itemsize > 64 * available + _EXPANSION:
        raise RuntimeError(
            f"tensor in a checkpoint: an expanded view of sizes {list(size)} over a storage of {available} bytes would "
            f"need {math.prod(size) * itemsize} bytes. Save the tensor without expanding it."
        )


def make_meta(dtype, size, stride, requires_grad) -> Tensor:
    """A tensor of the meta device, which a file stores without a storage."""
    if not isinstance(dtype, dtypes.dtype):
        raise TypeError(f"meta tensor in a checkpoint: expected a dtype, received {brief(dtype)}")
    size, stride = _whole(size, "size"), _whole(stride, "stride")
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {len(stride)} strides, {len(size)} sizes")
    if views.is_contiguous(size, stride):
        tensor = _labelled(Tensor._of(jax.ShapeDtypeStruct(size, dtype.np), meta), dtype)
    else:
        count = 1 + sum((n - 1) * s for n, s in zip(size, stride))
        base = _labelled(Tensor._of(jax.ShapeDtypeStruct((count,), dtype.np), meta), dtype)
        tensor = base
        tensor._path = ((_as_strided.prepare((base, size, stride, 0))[0], ()),)
    if requires_grad:
        tensor.requires_grad_(True)
    return tensor


def make_parameter(data, requires_grad: bool):
    """A parameter over a tensor's storage."""
    # Here and not above: nn is imported on first use, and may import checkpoints.
    importlib.import_module("rushlight.nn")
    kind: Any = parameter_class()
    if isinstance(data, InertTensor):
        data.requires_grad = bool(requires_grad)
        return data
    if not isinstance(data, Tensor):
        raise TypeError(f"parameter in a checkpoint: expected a tensor, received {type(data).__name__}")
    return kind(data, requires_grad=bool(requires_grad))


def as_subclass(tensor: Tensor, kind) -> Tensor:
    """The tensor as one of a class that was allowed; a plain one, with a warning, where the class is a stub."""
    if isinstance(kind, type) and issubclass(kind, Tensor):
        return kind._alias(tensor, tensor.requires_grad)
    warnings.warn(f"{brief(kind)} in the checkpoint was not built; it loads as a plain tensor.", stacklevel=2)
    return tensor


def set_attributes(tensor, state):
    """Put back the attributes that a user had set on a tensor."""
    if not isinstance(tensor, Tensor):
        return tensor
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    for part in (state, slots):
        if part is None:
            continue
        names = list(part) if isinstance(part, dict) else [part]
        # A name of our own would change what the tensor is, not what the user noted on it.
        taken = [n for n in names if not isinstance(n, str) or n.startswith("__") or hasattr(type(tensor), n)]
        if not isinstance(part, dict) or taken:
            raise TypeError(
                f"attributes of a tensor in a checkpoint: expected new plain names, received {brief(taken)}"
            )
        tensor.__dict__.update(part)
    return tensor
