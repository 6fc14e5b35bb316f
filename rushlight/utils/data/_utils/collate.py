"""Owns ``default_collate`` and ``default_convert``: how samples become a batch of tensors.

May import the Tensor, dtypes and device, and rushlight's functions at call time.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

from rushlight import _device as devices
from rushlight import dtypes
from rushlight._tensor.tensor import Tensor, from_host, to_device

_TEXT_KINDS = "SaUO"
np_str_obj_array_pattern = re.compile(f"[{_TEXT_KINDS}]")  # torch's name for it, which other packages import
_UNKNOWN = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"

# In a worker process the default functions make arrays only, so that the worker need not start XLA.
_ship = False


def ship_arrays(on: bool) -> None:
    """Let the default functions of this process return ``Shipped`` arrays instead of tensors."""
    global _ship
    _ship = on


class Shipped:
    """A batch in a worker: an array that becomes a tensor when the main process unpickles it."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray):
        self.array = array

    def __reduce__(self):
        return _adopt, (self.array,)


def _adopt(array: np.ndarray, where: devices.device | None = None):
    """A tensor over an array that nobody else writes to."""
    where = devices.default_device() if where is None else where
    return Tensor._of(to_device(array, where), where)


def _tensor(array: np.ndarray, where: devices.device | None = None):
    """The tensor of a fresh array, or what a worker sends in its place."""
    dtypes.from_numpy(array.dtype)
    return Shipped(array) if _ship and where in (None, devices.cpu) else _adopt(array, where)


def _rebuild_mapping(data: Mapping, values: dict):
    """A mapping like ``data``, with other values; a dict where its class cannot be rebuilt."""
    try:
        if isinstance(data, MutableMapping):
            # The class may carry more than its items, so it is copied and not made anew.
            clone = copy.copy(data)
            clone.update(values)
            return clone
        return type(data)(values)  # type: ignore[call-arg]
    except TypeError:
        return values


def _rebuild_sequence(data: Sequence, values: list):
    """A sequence like ``data``, with other items; a list where its class cannot be rebuilt."""
    try:
        if isinstance(data, MutableSequence):
            clone = copy.copy(data)
            for i, value in enumerate(values):
                clone[i] = value
            return clone
        return type(data)(values)  # type: ignore[call-arg]
    except TypeError:
        return values


def default_convert(data):
    """Turn the numpy arrays in a sample into tensors and leave the rest; used where batching is off.

    Args:
        data: a sample: arrays, in any nesting of mappings and sequences. A plain tuple becomes a list.

    Example:
        >>> default_convert({"x": np.array([1, 2]), "name": "a"})
        {'x': tensor([1, 2]), 'name': 'a'}
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray):
        if data.dtype.kind in _TEXT_KINDS:
            return data
        dtypes.from_numpy(data.dtype)
        return Shipped(data) if _ship else from_host(data)
    if isinstance(data, np.generic) and not isinstance(data, str | bytes):
        return _tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rebuild_sequence(data, [default_convert(item) for item in data])
    return data


def collate(batch, *, collate_fn_map: dict[type | tuple[type, ...], Callable] | None = None):
    """Merge samples, choosing a function by the type of the first one.

    Args:
        batch: the samples; mappings and sequences are merged item by item.
        collate_fn_map: a function for each type or tuple of types, called as ``f(batch, collate_fn_map=...)``; an
            exact match wins, then the first key that the sample is an instance of.

    Raises:
        TypeError: there is no function for a sample.
        RuntimeError: sequences of different lengths.

    Example:
        >>> collate([(1, "a"), (2, "b")], collate_fn_map={int: lambda batch, **_: sum(batch), str: collate_str_fn})
        [3, ('a', 'b')]
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        found = collate_fn_map.get(kind)
        if found is None:
            found = next((f for key, f in collate_fn_map.items() if isinstance(first, key)), None)
        if found is not None:
            return found(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        merged = {key: collate([item[key] for item in batch], collate_fn_map=collate_fn_map) for key in first}
        return _rebuild_mapping(first, merged)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [collate(column, collate_fn_map=collate_fn_map) for column in zip(*batch)]
        return columns if isinstance(first, tuple) else _rebuild_sequence(first, columns)
    raise TypeError(_UNKNOWN.format(kind))


def _stack(arrays: list[np.ndarray], where: devices.device | None = None):
    """Stack arrays of one dtype; None where they differ and torch's promotion has to decide."""
    first = arrays[0]
    for i, array in enumerate(arrays):
        if array.dtype != first.dtype:
            return None
        if array.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(array.shape)} at entry {i}"
            )
    return _tensor(np.stack(arrays), where)


def collate_tensor_fn(batch, *, collate_fn_map=None):
    """Stack tensors along a new first dimension."""
    if is_plain(*batch):
        # numpy stacks in one copy; a stack in XLA would compile once for each length of batch.
        stacked = _stack([tensor._host() for tensor in batch], devices.cpu)
        if stacked is not None:
            return stacked
    import rushlight as torch

    return torch.stack(tuple(batch), 0)


def is_plain(*tensors) -> bool:
    """Whether all are tensors on the CPU that record nothing, so that their arrays may stand for them."""
    return all(type(t) is Tensor and t.device.type == "cpu" and not t.requires_grad for t in tensors)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    """Stack arrays along a new first dimension, as a tensor.

    Raises:
        TypeError: arrays of text or of objects.
    """
    if batch[0].dtype.kind in _TEXT_KINDS:
        raise TypeError(_UNKNOWN.format(batch[0].dtype))
    if all(isinstance(array, np.ndarray) for array in batch):
        dtypes.from_numpy(batch[0].dtype)
        stacked = _stack(batch)
        if stacked is not None:
            return stacked
    import rushlight as torch

    return collate([torch.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    """A 1-d tensor of numpy scalars."""
    if all(type(value) is type(batch[0]) for value in batch):
        return _tensor(np.array(batch))
    import rushlight as torch

    return torch.as_tensor(list(batch))


def _numbers(batch, kinds: set[type], dtype: dtypes.dtype | None):
    """A 1-d tensor of Python numbers; what is not of the expected kinds is left to ``torch.tensor``."""
    if set(map(type, batch)) <= kinds:
        try:
            return _tensor(np.array(batch, None if dtype is None else dtype.np))
        except OverflowError:
            pass
    import rushlight as torch

    return torch.tensor(list(batch), dtype=dtype)


def collate_float_fn(batch, *, collate_fn_map=None):
    """A float64 tensor of Python floats."""
    return _numbers(batch, {float, int, bool}, dtypes.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    """An int64 (or bool) tensor of Python ints (or bools)."""
    if type(batch[0]) is int:
        return _numbers(batch, {int}, dtypes.int64) if set(map(type, batch)) == {int} else _numbers(batch, set(), None)
    return _numbers(batch, {bool}, None)


def collate_str_fn(batch, *, collate_fn_map=None):
    """Text stays a list."""
    return batch


default_collate_fn_map: dict[type | tuple[type, ...], Callable] = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch):
    """Merge samples into a batch: tensors, arrays and numbers are stacked along a new first dimension.

    Args:
        batch: a list of samples of one kind. Tuples become lists, named tuples and mappings keep their type, and text
            stays a list.

    Shape: samples ``(*)`` to a batch ``(len(batch), *)``.

    Raises:
        TypeError: a sample is of another kind.
        RuntimeError: samples of different shapes or lengths.

    Example:
        >>> default_collate([(1, 2.0), (3, 4.0)])
        [tensor([1, 3]), tensor([2., 4.], dtype=torch.float64)]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
