"""Owns the functions that make tensors from nothing, from Python data and from numpy.

May import the tensor cell, devices, dtypes and the door.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _device as devices
from .. import dtypes
from .._errors import not_supported, type_name
from .._graph.engine import Values
from .._graph.modes import state
from .._tensor.half_complex import label
from .._tensor.tensor import Tensor, from_host, to_device
from .._tensor.unread import LazyStorage
from ._execute import write_out
from ._host_data import host_data
from ._op import method
from ._promotion import of_number


def _options(dtype, device, default=None):
    d = dtype if dtype is not None else (default or dtypes.default_dtype())
    if not isinstance(d, dtypes.dtype):
        d = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}.get(d)
        if d is None:
            raise TypeError(f"dtype must be torch.dtype, not {type_name(dtype)}")
    if d is dtypes.complex32:
        raise not_supported("dtype=torch.complex32 of this function", "Use torch.complex64 and call .chalf() on it.")
    return d, devices.resolve(device)


def shape_of(args, name="size") -> tuple:
    """A shape from ``f(2, 3)``, ``f((2, 3))`` or ``f(torch.Size(...))``.

    Raises:
        TypeError: something that is not an integer.
        RuntimeError: a negative dimension.
    """
    if (
        len(args) == 1
        and not isinstance(args[0], (int, np.integer))
        and not (isinstance(args[0], Tensor) and args[0].dim() == 0)
    ):
        args = tuple(args[0])
    try:
        shape = tuple(n if type(n) is int else n.__index__() for n in args)
    except (AttributeError, TypeError):
        bad = next(n for n in args if not hasattr(n, "__index__"))
        raise TypeError(
            f"argument '{name}' must be tuple of ints, but found element of type {type_name(bad)}"
        ) from None
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def _finish(array, device, requires_grad, out=None, name="") -> Any:
    if requires_grad and array.dtype.kind in "biu":
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    made = Tensor._of(array, device, False)
    if state.trace is not None:
        state.trace.bear(made)
    if out is not None:
        return write_out(name, made, out)
    if requires_grad:
        made.requires_grad_()
    if state.inference:
        made._inference = True
    return made


def _filled(shape, value, d, where):
    if where.type == "meta":
        return jax.ShapeDtypeStruct(shape, d.np)
    return jax.device_put(np.full(shape, value, d.np), devices.jax_device(where))


def _check_layout(layout, pin_memory=False):
    if layout is not None and layout is not dtypes.strided:
        raise not_supported(f"layout={layout!r}", "Use the default, torch.strided.")


def _maker(name, value):
    def make(*args, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, **accepted):
        _check_accepted(name, accepted)
        _check_layout(layout)
        d, where = _options(dtypes.computed(dtype), device)
        shape = shape_of(args if size is None else (size,))
        made = _finish(_filled(shape, value, d, where), where, requires_grad, out, name)
        return label(made) if dtype is dtypes.complex32 and out is None else made

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""A tensor of the given size filled with {value:g}.

    Args:
        size: the shape, as ints or one sequence.
        dtype, device, requires_grad, out: as in torch.
    """
    return make


def _check_accepted(name, given):
    """Options that mean nothing here but may be written: where memory is pinned and how it is laid out."""
    for key, value in given.items():
        if key == "names" and value is not None:
            raise not_supported(f"{name}(names={value!r})", "Dimensions have numbers only; leave names out.")
        if key not in ("pin_memory", "memory_format", "names"):
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")


zeros, ones = _maker("zeros", 0.0), _maker("ones", 1.0)


def empty(*args, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, **accepted):
    """A tensor of the given size, to be filled; until then it reads as zeros, and takes no memory before it is read.

    Args:
        size: the shape, as ints or one sequence.
        dtype, device, requires_grad, out: as in torch.
    """
    if accepted:
        _check_accepted("empty", accepted)
    _check_layout(layout)
    d, where = _options(dtypes.computed(dtype), device)
    shape = shape_of(args if size is None else (size,))
    made = _unfilled(shape, d, where, requires_grad, out)
    return label(made) if dtype is dtypes.complex32 and out is None else made


def _unfilled(shape, d, where, requires_grad=False, out=None):
    if where.type == "meta" or out is not None or state.trace is not None:
        return _finish(_filled(shape, 0.0, d, where), where, requires_grad, out, "empty")
    made = Tensor._of(None, where)
    made._storage = LazyStorage(shape, np.dtype(d.np), where, lambda: _filled(shape, 0.0, d, where))
    if requires_grad:
        made.requires_grad_()
    if state.inference:
        made._inference = True
    return made


def _like_maker(name, value):
    lazy = name == "empty"

    def like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, pin_memory=False):
        _check_layout(layout)
        kind = dtype or input.dtype
        d, where = _options(dtypes.computed(kind), device or input.device)
        shape = tuple(input._form().shape)
        made = (
            _unfilled(shape, d, where, requires_grad)
            if lazy
            else _finish(_filled(shape, value, d, where), where, requires_grad)
        )
        return label(made) if kind is dtypes.complex32 else made

    def new(self, *size, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, **kwargs):
        if "size" in kwargs:
            size = (kwargs.pop("size"),)
        d, where = _options(dtype or dtypes.computed(self.dtype), device or self.device)
        if lazy:
            return _unfilled(shape_of(size), d, where, requires_grad)
        return _finish(_filled(shape_of(size), value, d, where), where, requires_grad)

    like.__name__ = like.__qualname__ = name + "_like"
    like.__doc__ = f"A tensor shaped like ``input``, filled with {value:g}."
    new.__name__ = new.__qualname__ = "new_" + name
    new.__doc__ = f"A tensor of the given size with this tensor's dtype and device, filled with {value:g}."
    method("new_" + name)(new)
    return like


zeros_like, ones_like, empty_like = _like_maker("zeros", 0.0), _like_maker("ones", 1.0), _like_maker("empty", 0.0)


def full(
    size,
    fill_value,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """A tensor filled with one number; its dtype is the number's unless given.

    Example:
        >>> full((2,), 7)
        tensor([7, 7])
    """
    _check_accepted("full", {"names": names})
    if isinstance(fill_value, Tensor):
        dtype = dtype or dtypes.computed(fill_value.dtype)
        fill_value = fill_value.item()
    d, where = _options(dtype, device, of_number(fill_value))
    shape = shape_of((size,))
    return _finish(_filled(shape, fill_value, d, where), where, requires_grad, out, "full")


def full_like(
    input,
    fill_value,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
    pin_memory=False,
):
    """A tensor shaped like ``input``, filled with one number."""
    return full(
        input.shape,
        fill_value,
        dtype=dtype or dtypes.computed(input.dtype),
        device=device or input.device,
        requires_grad=requires_grad,
    )


@method()
def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """A tensor of the given size with this tensor's dtype and device, filled with one number."""
    d = dtype or dtypes.computed(self.dtype)
    return full(size, fill_value, dtype=d, device=device or self.device, requires_grad=requires_grad)


@method()
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
    """A tensor from data, with this tensor's dtype and device."""
    return tensor(data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


@method("new")
def _new(self, *args, device=None):
    return construct(Tensor, args, self.dtype, device or self.device)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor of the given size; XLA chooses its layout, so strides must be those of some dense order."""
    return empty(size, dtype=dtype, device=device, requires_grad=requires_grad)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """The identity matrix, ``n`` by ``m``."""
    d, where = _options(dtype, device)
    for size in (n, m or 0):
        if size < 0:
            raise RuntimeError(f"n must be greater or equal to 0, got {size}")
    return _finish(to_device(np.eye(n, n if m is None else m, dtype=d.np), where), where, requires_grad, out, "eye")


def arange(*args, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, **kwargs):
    """Numbers from ``start`` (default 0) to before ``end`` in steps of ``step`` (default 1).

    Raises:
        RuntimeError: step is zero or points away from end.

    Example:
        >>> arange(1, 2.5, 0.5)
        tensor([1.0000, 1.5000, 2.0000])
    """
    if kwargs:
        start, end, step = kwargs.get("start", 0), kwargs.get("end"), kwargs.get("step", 1)
        if args:
            start, end = (args[0], end) if end is not None else (0, args[0]) if len(args) == 1 else args[:2]
    else:
        start, end, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
    bounds: Any = [x.item() if isinstance(x, Tensor) else x for x in (start, end, step)]
    start, end, step = bounds
    integral = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    if out is not None and dtype is None:
        dtype = out.dtype
    d, where = _options(dtype, device, dtypes.int64 if integral else None)
    if out is not None and d.category == 1 and int(step) == 0:
        raise ValueError("step must be nonzero")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (np.isfinite(start) and np.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start:g} -> {end:g}")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = -((start - end) // step) if integral else int(np.ceil((end - start) / step))
    if d.category == 1:
        values = (
            np.array(int(start) + np.arange(count) * int(step))
            if not integral
            else start + np.arange(count, dtype=np.int64) * step
        )
    else:
        wide = np.float64 if d.category == 2 else np.complex128
        values = start + np.arange(count, dtype=wide) * step
    return _finish(to_device(values.astype(d.np), where), where, requires_grad, out, "arange")


def range_(start, end, step=1, *, dtype=None, device=None, requires_grad=False):
    """Deprecated in torch: numbers from start to end inclusive, floating by default."""
    d, where = _options(dtype, device)
    count = int(np.floor((end - start) / step)) + 1
    return _finish(to_device((start + np.arange(count) * step).astype(d.np), where), where, requires_grad)


def linspace(
    start, end, steps, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included."""
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    is_complex = isinstance(start, complex) or isinstance(end, complex)
    d, where = _options(dtype, device, dtypes.default_dtype().to_complex() if is_complex else None)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    return _finish(to_device(_spaced(start, end, steps, d), where), where, requires_grad, out, "linspace")


def _spaced(start, end, steps, d):
    """torch counts up from the start in the first half and down from the end in the second."""
    if steps < 2:
        return np.full((steps,), start).astype(d.np)
    wide = d.np if d.itemsize >= 4 and d.category >= 2 else np.float32 if d.category == 2 else np.float64
    step = (np.asarray(end, wide) - np.asarray(start, wide)) / np.asarray(steps - 1, wide)
    i = np.arange(steps)
    up = np.asarray(start, wide) + step * i.astype(wide)
    down = np.asarray(end, wide) - step * (steps - 1 - i).astype(wide)
    return np.where(i < steps // 2, up, down).astype(d.np)


def logspace(
    start,
    end,
    steps,
    base=10.0,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """``base`` to the power of ``steps`` evenly spaced exponents."""
    start, end = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    d, where = _options(dtype, device)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    wide = d if d.itemsize >= 4 else dtypes.float32
    if d.category == 1:
        # torch rounds the exponents first.
        start, end = int(start), int(end)
    values = np.power(np.asarray(base, np.float64), _spaced(start, end, steps, dtypes.float64)).astype(wide.np)
    return _finish(to_device(values.astype(d.np), where), where, requires_grad, out, "logspace")


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with a copy of ``data``: numbers, nested lists, numpy arrays, tensors.

    Args:
        data: what to copy.
        dtype: default: inferred from the data.
        device: default: the default device.
        requires_grad: record operations on it.

    Raises:
        ValueError: rows of different lengths.
        RuntimeError: data of a type that holds no numbers.

    Example:
        >>> tensor([[1, 2], [3, 4]])
        tensor([[1, 2],
                [3, 4]])
    """
    if dtype is dtypes.complex32 or (dtype is None and isinstance(data, Tensor) and data.dtype is dtypes.complex32):
        made = tensor(data, dtype=dtypes.complex64, device=device).chalf()
        return made.requires_grad_() if requires_grad else made
    if isinstance(data, Tensor):
        made = data.detach().clone()
        made = made.to(device=device, dtype=dtype) if dtype or device else made
        return made.requires_grad_() if requires_grad else made
    if isinstance(data, jax.Array):
        data = np.asarray(data)
    d = None if dtype is None else _options(dtype, None)[0]
    host, _ = host_data(data, d)
    where = devices.resolve(device)
    return _finish(to_device(np.array(host, copy=True), where), where, requires_grad)


def as_tensor(data, dtype=None, device=None):
    """``data`` as a tensor; a tensor of the right dtype and device is returned as it is."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype or data.dtype, device=device or data.device)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """``obj`` as a tensor, copied if ``copy`` is True."""
    made = as_tensor(obj, dtype, device)
    if copy and made is obj:
        made = made.clone()
    return made.requires_grad_() if requires_grad and not made.requires_grad else made


def from_numpy(ndarray):
    """A tensor with the contents of a numpy array (copied: arrays underneath are immutable).

    Raises:
        TypeError: not an ndarray, or a dtype no tensor has.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type_name(ndarray)})")
    dtypes.from_numpy(ndarray.dtype)
    return from_host(np.ascontiguousarray(ndarray).reshape(ndarray.shape), devices.cpu)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-d tensor with the contents of a bytes-like object."""
    host = np.frombuffer(buffer, _options(dtype, None)[0].np, count, offset)
    return from_host(host, devices.cpu, requires_grad)


def from_dlpack(ext_tensor):
    """A tensor from any object with ``__dlpack__`` (memory is shared, and never written to)."""
    array = jnp.from_dlpack(ext_tensor)
    return Tensor._of(array, devices.of_jax(next(iter(array.devices()))))


def to_dlpack(tensor):
    """A DLPack capsule of the tensor's memory."""
    return tensor.__dlpack__()


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False):
    """A 0-dim tensor, of the default dtype unless given."""
    d, where = _options(dtype, device)
    return _finish(_filled((), s, d, where), where, requires_grad)


def construct(cls, args, dtype=None, device=None):
    """torch's old constructor: ``Tensor(2, 3)`` is uninitialised, ``Tensor([1, 2])`` holds the data."""
    d = dtype or dtypes.default_dtype()
    where = devices.resolve(device)
    if not args:
        return cls._of(_filled((0,), 0, d, where), where)
    first = args[0]
    if len(args) == 1 and isinstance(first, Tensor):
        return cls._alias(first.detach() if first.dtype is d else first.detach().to(d))
    if len(args) == 1 and isinstance(first, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type_name(first)}'")
    if len(args) == 1 and isinstance(first, (Sequence, np.ndarray)) and not isinstance(first, dtypes.Size):
        first = first if isinstance(first, (list, tuple, np.ndarray)) else list(first)
        return cls._of(to_device(np.array(host_data(first, d)[0]), where), where)
    if not all(isinstance(n, (int, np.integer)) for n in args) and not isinstance(first, dtypes.Size):
        raise TypeError(f"new(): data must be a sequence (got {type_name(first)})")
    return cls._of(_filled(shape_of(args), 0, d, where), where)


Values.construct = staticmethod(construct)


def is_tensor(obj) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "empty_strided", "eye", "from_dlpack", "from_numpy",
    "frombuffer", "full", "full_like", "is_tensor", "linspace", "logspace", "ones", "ones_like", "scalar_tensor",
    "tensor", "to_dlpack", "zeros", "zeros_like",
]  # fmt: skip
