"""Owns what a tensor says of itself: shape, dtype, device, strides, memory.

May import dtypes, devices and the cell.
"""

from __future__ import annotations

from typing import Any

from .. import _device as devices
from .. import dtypes
from . import views
from .cell import Cell
from .storage import UntypedStorage


class Described(Cell):
    """The properties and questions that compute nothing."""

    @property
    def shape(self) -> Any:
        """The size of each dimension."""
        return dtypes.Size(self._form().shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type."""
        found = dtypes._FROM_NP[self._form().dtype]
        return dtypes.complex32 if found is dtypes.complex64 and self._storage.halved else found

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
        return len(self._form().shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.numel() * self.itemsize

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._form().shape)

    ndimension = dim

    def size(self, dim: int | None = None, *, axis: int | None = None) -> Any:
        """The shape, or the size of one dimension.

        Raises:
            IndexError: there is no such dimension.
        """
        shape = self._form().shape
        if dim is None:
            if axis is None:
                return dtypes.Size(shape)
            dim = axis
        elif axis is not None:
            raise TypeError("size() got an unexpected keyword argument 'axis'")
        if not -len(shape) <= dim < max(len(shape), 1) or not shape:
            low, high = (-len(shape), len(shape) - 1) if shape else (-1, 0)
            if not shape and low <= dim <= high:
                raise IndexError("Dimension specified as 0 but tensor has no dimensions")
            raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")
        return shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return int(self._form().size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def _geometry(self):
        if not self._path:
            return self._form().shape, views.contiguous_strides(self._form().shape), 0
        found = self._strides
        if found is None:
            found = self._strides = views.geometry(self._storage.form.shape, self._path)
        return found

    def stride(self, dim: int | None = None, *, axis: int | None = None):
        """torch's strides, in elements (JAX chooses the real layout itself)."""
        strides = self._geometry()[1]
        if dim is not None and axis is not None:
            raise TypeError("stride() got an unexpected keyword argument 'axis'")
        at = axis if dim is None else dim
        return strides if at is None else strides[at]

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

    def share_memory_(self):
        """Accepted; arrays are copied between processes, so nothing has to move."""
        return self

    def get_device(self) -> int:
        """The CUDA index, or -1 on the CPU."""
        d = self._storage.device
        return -1 if d.type == "cpu" else d.index or 0
