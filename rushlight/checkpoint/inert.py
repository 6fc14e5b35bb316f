"""Owns descriptions of tensors that rushlight does not compute with: quantized, sparse, nested and packed ones.

May import dtypes, the tensor cell and numpy; operators are unknown here.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from rushlight import dtypes
from rushlight._tensor.tensor import Tensor, from_host

from .brief import brief


class ForeignDtype:
    """An element type of torch that JAX has not.

    Attributes:
        name: torch's name.
        carrier: the dtype that holds its bits.
        itemsize: bytes per element in a file.
        per_byte: elements in one byte, for quantized types smaller than a byte; else 1.
        storage: torch's storage class for it; None where it is written untyped.
    """

    __slots__ = ("carrier", "itemsize", "name", "per_byte", "storage")

    def __init__(self, name: str, carrier: dtypes.dtype, storage: str | None = None, per_byte: int = 1):
        self.name, self.carrier, self.storage, self.per_byte = name, carrier, storage, per_byte
        self.itemsize = carrier.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"


FOREIGN = {
    made.name: made
    for made in (
        ForeignDtype("qint8", dtypes.int8, "QInt8Storage"),
        ForeignDtype("quint8", dtypes.uint8, "QUInt8Storage"),
        ForeignDtype("qint32", dtypes.int32, "QInt32Storage"),
        ForeignDtype("quint4x2", dtypes.uint8, "QUInt4x2Storage", 2),
        ForeignDtype("quint2x4", dtypes.uint8, "QUInt2x4Storage", 4),
        ForeignDtype("bits8", dtypes.uint8),
        ForeignDtype("bits16", dtypes.uint16),
        ForeignDtype("bits1x8", dtypes.uint8),
        ForeignDtype("bits2x4", dtypes.uint8),
        ForeignDtype("bits4x2", dtypes.uint8),
        ForeignDtype("float4_e2m1fn_x2", dtypes.uint8),
    )
}
LAYOUTS = {
    f"torch.{name}": found
    for name, found in (
        ("strided", dtypes.strided),
        ("sparse_coo", dtypes.sparse_coo),
        *((name, dtypes.layout(name)) for name in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")),
    )
}


class InertTensor:
    """A tensor of a kind that rushlight does not compute with, as a file describes it; ``save`` writes it back.

    Attributes:
        kind: ``"quantized"``, ``"nested"``, ``"packed"`` (of a type without arithmetic), or a sparse layout such as
            ``"sparse_csr"``.
        dtype: the element type; a :class:`ForeignDtype` for quantized and packed ones.
        shape: its size; None where it is nested.
        parts: the tensors and numbers that it is made of, by name.
        requires_grad: as saved.

    Example:
        >>> import rushlight as torch
        >>> parts = {"indices": torch.tensor([[0, 2]]), "values": torch.tensor([1.0, 3.0]), "coalesced": True}
        >>> sparse = InertTensor("sparse_coo", torch.float32, (3,), parts)
        >>> sparse
        <InertTensor sparse_coo torch.float32 [3]: 2 values>
        >>> sparse.dense()
        tensor([1., 0., 3.])
    """

    __slots__ = ("__weakref__", "dtype", "geometry", "kind", "parts", "requires_grad", "shape")

    def __init__(self, kind: str, dtype, shape, parts: dict[str, Any], requires_grad: bool = False, geometry=None):
        self.kind, self.dtype, self.parts, self.requires_grad = kind, dtype, parts, requires_grad
        self.shape = None if shape is None else dtypes.Size(shape)
        self.geometry = geometry

    def __repr__(self) -> str:
        shape = "" if self.shape is None else f" {list(self.shape)}"
        return f"<InertTensor {self.kind} {self.dtype!r}{shape}: {self._note()}>"

    def _note(self) -> str:
        parts = self.parts
        if self.kind == "quantized":
            if "scale" in parts:
                return f"{parts['scheme'].name}, scale={parts['scale']:g}, zero_point={parts['zero_point']}"
            return f"{parts['scheme'].name}, axis={parts['axis']}"
        if self.kind == "nested":
            return f"{len(parts['sizes'])} tensors"
        if self.kind == "packed":
            return f"bits in {parts['data'].dtype!r}"
        return f"{parts['values'].shape[0]} values"

    def dense(self) -> Tensor:
        """The contents as an ordinary tensor: dequantized, or with the zeros filled in.

        Raises:
            NotImplementedError: nested or packed; look at ``parts``.
            RuntimeError: indices reach outside the shape.
        """
        if self.kind == "quantized":
            return from_host(_dequantized(self))
        if self.kind == "sparse_coo":
            return Tensor._of(_coordinates(self))
        if self.kind.startswith("sparse"):
            return from_host(_compressed(self))
        raise NotImplementedError(
            f"dense() of a {self.kind} tensor of {self.dtype!r} is not supported by rushlight. Its contents are in "
            f"`.parts`: {', '.join(self.parts)}."
        )


# -- from a file ----------------------------------------------------------------------------------------------------


def sparse(layout, data) -> InertTensor:
    """From torch's layout and its tuple of indices, values and size.

    Raises:
        TypeError: the parts are not what the layout has.
    """
    kind = getattr(layout, "name", None)
    if kind == "sparse_coo" and isinstance(data, tuple) and len(data) in (3, 4):
        tensors, size, coalesced = data[:2], data[2], data[3] if len(data) == 4 else None
        parts: dict[str, Any] = {"indices": data[0], "values": data[1], "coalesced": coalesced}
    elif (
        kind in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc") and isinstance(data, tuple) and len(data) == 4
    ):
        tensors, size, coalesced = data[:3], data[3], None
        names = (
            ("crow_indices", "col_indices") if kind in ("sparse_csr", "sparse_bsr") else ("ccol_indices", "row_indices")
        )
        parts: dict[str, Any] = dict(zip((*names, "values"), tensors))
    else:
        raise TypeError(f"sparse tensor in a checkpoint: received layout {brief(layout, 40)} with {brief(data)}")
    whole = isinstance(size, tuple) and all(type(n) is int and 0 <= n < 1 << 62 for n in size)
    if not whole or not all(isinstance(t, Tensor) for t in tensors) or coalesced not in (None, True, False):
        raise TypeError(f"sparse tensor in a checkpoint: expected tensors and a size, received {brief(data)}")
    return InertTensor(kind, parts["values"].dtype, size, parts)


def nested(buffer, sizes, strides, offsets) -> InertTensor:
    """From the flat values of a nested tensor and the geometry of its members.

    Raises:
        TypeError: something is not a tensor.
    """
    parts = {"buffer": buffer, "sizes": sizes, "strides": strides, "offsets": offsets}
    if not all(isinstance(t, Tensor) for t in parts.values()) or not sizes.dim():
        raise TypeError(
            f"nested tensor in a checkpoint: expected four tensors, received {brief(tuple(parts.values()))}"
        )
    return InertTensor("nested", buffer.dtype, None, parts)


def check_scheme(params, size: tuple) -> dict[str, Any]:
    """The parts that torch's quantizer parameters make.

    Raises:
        TypeError, ValueError: they do not fit the tensor.
    """
    scheme = params[0] if isinstance(params, tuple) and params else None
    if not isinstance(scheme, dtypes.qscheme):
        raise TypeError(f"quantized tensor in a checkpoint: expected a scheme, received {brief(params)}")
    if scheme.name == "per_tensor_affine":
        if len(params) != 3 or type(params[1]) not in (int, float) or type(params[2]) is not int:
            raise TypeError(
                f"quantized tensor in a checkpoint: expected scale and zero point, received {brief(params)}"
            )
        return {"scheme": scheme, "scale": float(params[1]), "zero_point": params[2]}
    if scheme.name not in ("per_channel_affine", "per_channel_affine_float_qparams") or len(params) != 4:
        raise TypeError(f"quantized tensor in a checkpoint: received the parameters {brief(params)}")
    scales, zeros, axis = params[1:]
    lists = all(isinstance(v, (list, Tensor)) for v in (scales, zeros))
    if not lists or type(axis) is not int or not 0 <= axis < len(size):
        raise ValueError(
            f"quantized tensor in a checkpoint: per_channel axis {brief(axis, 20)} out of range for size {size}"
        )
    counts = [len(v) if isinstance(v, list) else v.numel() for v in (scales, zeros)]
    if counts != [size[axis]] * 2:
        raise ValueError(
            f"quantized tensor in a checkpoint: expected {size[axis]} scales and zero points, received {counts}"
        )
    if isinstance(scales, list):
        scales = from_host(np.array(_numbers(scales), np.float64))
    if isinstance(zeros, list):
        zeros = from_host(np.array(_numbers(zeros), np.float64 if "float" in scheme.name else np.int64))
    return {"scheme": scheme, "scales": scales, "zero_points": zeros, "axis": axis}


def _numbers(values: list) -> list:
    if any(type(v) not in (int, float) for v in values):
        raise TypeError(f"quantized tensor in a checkpoint: expected numbers, received {brief(values)}")
    return values


# -- to dense -------------------------------------------------------------------------------------------------------


def _host(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor._array())


def _dequantized(tensor: InertTensor) -> np.ndarray:
    parts, dtype, shape = tensor.parts, tensor.dtype, tensor.shape
    assert shape is not None
    codes = _host(parts["data"])
    if dtype.per_byte > 1:
        # The first element is in a byte's lowest bits.
        bits = 8 // dtype.per_byte
        apart = [(codes >> (bits * i)) & ((1 << bits) - 1) for i in range(dtype.per_byte)]
        codes = np.stack(apart, -1).reshape(-1)[: math.prod(shape)].reshape(shape)
    if "scale" in parts:
        # torch subtracts in integers and multiplies in float32.
        return (codes.astype(np.int64) - parts["zero_point"]).astype(np.float32) * np.float32(parts["scale"])
    along = [1] * len(shape)
    along[parts["axis"]] = shape[parts["axis"]]
    scales, zeros = (_host(parts[n]).reshape(along) for n in ("scales", "zero_points"))
    if zeros.dtype.kind == "f":
        return codes.astype(np.float32) * scales.astype(np.float32) + zeros.astype(np.float32)
    return (codes.astype(np.int64) - zeros).astype(np.float32) * scales.astype(np.float32)


def _outside(tensor: InertTensor) -> RuntimeError:
    return RuntimeError(f"{tensor!r}: expected indices inside the shape, received others. The file is damaged.")


def _coordinates(tensor: InertTensor):
    indices, values = _host(tensor.parts["indices"]), tensor.parts["values"]._array()
    shape = tensor.shape
    assert shape is not None
    sound = indices.ndim == 2 and indices.shape[0] <= len(shape) and indices.shape[1:] == values.shape[:1]
    if not sound or any(((row < 0) | (row >= n)).any() for row, n in zip(indices, shape)):
        raise _outside(tensor)
    if not len(indices):
        return values.sum(0)
    return jnp.zeros(shape, values.dtype).at[tuple(indices)].add(values)


def _compressed(tensor: InertTensor) -> np.ndarray:
    first, second, values = map(_host, tensor.parts.values())
    shape, by_row, blocked = tensor.shape, tensor.kind in ("sparse_csr", "sparse_bsr"), "_bs" in tensor.kind
    assert shape is not None
    if blocked and values.ndim < first.ndim + 2:
        raise _outside(tensor)
    out = np.zeros(shape, values.dtype)
    high, wide = values.shape[first.ndim : first.ndim + 2] if blocked else (1, 1)
    for where in np.ndindex(first.shape[:-1]):
        steps = np.diff(first[where])
        if (steps < 0).any() or steps.sum() != len(second[where]):
            raise _outside(tensor)
        major = np.repeat(np.arange(len(steps)), steps)
        rows, columns = (major, second[where]) if by_row else (second[where], major)
        target = out[where]
        limits = target.shape[0] // max(high, 1), target.shape[1] // max(wide, 1)
        if any((i < 0).any() or (i >= n).any() for i, n in zip((rows, columns), limits)):
            raise _outside(tensor)
        if not blocked:
            target[rows, columns] = values[where]
            continue
        for row, column, block in zip(rows, columns, values[where]):
            target[row * high : (row + 1) * high, column * wide : (column + 1) * wide] = block
    return out
