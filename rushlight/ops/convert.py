"""Owns conversions: dtype, device, copies, and copying into a tensor.

May import the door, the tensor cell and jax.
"""

from __future__ import annotations

import jax

from .. import _device as devices
from .. import dtypes
from .._errors import type_name
from .._graph.engine import Values
from .._tensor.half_complex import label
from .._tensor.tensor import Tensor, to_device
from . import _promotion
from ._op import Array, attach, method, op


@op(name="to_copy", method=False, linear=True)
def _cast(input: Array, dtype):
    return _promotion.cast(input, dtype)


Values.cast = staticmethod(_cast)


@op(linear=True)
def clone(input: Array, memory_format=None):
    """A copy; gradients flow through it."""
    return input


class _Move:
    """The tape's step for a change of device: gradients go back to where they came from."""


def _moved(self: Tensor, where: devices.device) -> Tensor:
    from ._execute import _wrap

    if self.device.type == "meta":
        raise NotImplementedError(
            "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
            "torch.nn.Module.to() when moving module from meta to a different device."
        )
    out = _wrap(to_device(self._array(), where), where, None, 0)
    edge = self._edge()
    from .._graph.modes import state

    if edge is not None and state.grad:
        from .._tensor.program import OpNode

        program = clone.prepare((self, None))[0]
        out._node, out._requires_grad = _MoveNode(program, [self._array()], (edge,), 1, self.device), True
        assert isinstance(out._node, OpNode)
    return out


def _make_move_node():
    from .._tensor.program import OpNode

    class ToCopyBackward0(OpNode):
        __slots__ = ("source",)

        def __init__(self, program, arrays, edges, outputs, source):
            OpNode.__init__(self, program, arrays, edges, outputs)
            self.source = source

        def run(self, grads, create_graph):
            (grad,) = grads
            if create_graph:
                return [grad.to(self.source)]
            return [jax.device_put(grad, devices.jax_device(self.source))]

    return ToCopyBackward0


_MoveNode = _make_move_node()
_SCALARS = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}


def parse_to(args, kwargs):
    """(device, dtype, non_blocking, copy, memory_format) from the forms that ``Tensor.to`` takes.

    Raises:
        TypeError: an argument of another type.
    """
    kwargs = dict(kwargs)
    where, d, other = kwargs.pop("device", None), kwargs.pop("dtype", None), kwargs.pop("other", None)
    copy, non_blocking = kwargs.pop("copy", False), kwargs.pop("non_blocking", False)
    memory_format = kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() received an invalid combination of arguments: unexpected {', '.join(kwargs)}")
    flags = []
    for i, a in enumerate(args):
        if isinstance(a, dtypes.dtype) and i < 2 and d is None:
            d = a
        elif isinstance(a, Tensor) and i == 0:
            other = a
        elif isinstance(a, bool):
            flags.append(a)
        elif isinstance(a, (str, devices.device, int)) and i == 0:
            where = a
        elif a is not None:
            raise TypeError(
                "to() received an invalid combination of arguments: expected a device, dtype or tensor, received "
                f"{type_name(a)}"
            )
    if flags:
        non_blocking = flags[0]
        copy = flags[1] if len(flags) > 1 else copy
    if other is not None:
        where, d = other.device, other.dtype
    return where, _SCALARS.get(d, d), non_blocking, copy, memory_format


@method()
def to(self, *args, **kwargs):
    """The tensor in another dtype or on another device; itself where nothing changes.

    Args:
        args: a dtype, a device, both, or a tensor to be like; then ``non_blocking`` and ``copy``.

    Example:
        >>> import rushlight as torch
        >>> torch.tensor([1.7, -1.7]).to(torch.int64)
        tensor([ 1, -1])
    """
    where, d, _, copy, _ = parse_to(args, kwargs)
    return convert(self, where, d, copy)


def convert(self, where=None, d=None, copy=False):
    """``to`` with its arguments sorted out."""
    if d is not None and not isinstance(d, dtypes.dtype):
        raise TypeError(f"to(): argument 'dtype' must be torch.dtype, not {type_name(d)}")
    target = self.device if where is None else devices.resolve(where)
    out = self
    if d is not None and d is not self.dtype:
        out = _cast(out, d)
    if target != self.device:
        out = _moved(out, target)
    out = clone(out) if copy and out is self else out
    # What an operator made is complex64.
    halved = d is dtypes.complex32 or (d is None and self.dtype is dtypes.complex32)
    return label(out) if halved and out is not self else out


def _caster(name, d):
    def cast(self, memory_format=None):
        return convert(self, None, d)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The tensor as {d!r}."
    attach(name, cast)


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool_, "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}.items():  # fmt: skip
    _caster(_name, _dtype)


@method()
def cpu(self, memory_format=None):
    """The tensor on the CPU."""
    return convert(self, devices.cpu)


@method()
def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor on a GPU.

    Raises:
        RuntimeError: there is none.
    """
    return convert(self, device if device is not None else "cuda")


@method()
def type_as(self, other):
    """The tensor in another's dtype and on its device."""
    return convert(self, other.device, other.dtype)


_LEGACY = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "complex64": "ComplexFloat",
    "complex128": "ComplexDouble", "complex32": "ComplexHalf",
}  # fmt: skip


@method("type")
def type_(self, dtype=None, non_blocking=False):
    """torch's old type name (``'torch.FloatTensor'``), or the tensor converted to ``dtype``."""
    where = "cuda." if self.is_cuda else ""
    if dtype is None:
        return f"torch.{where}{_LEGACY.get(self.dtype.name, self.dtype.name)}Tensor"
    if isinstance(dtype, str):
        names = {v: dtypes.named(k) for k, v in _LEGACY.items()}
        kind = dtype.removeprefix("torch.").removeprefix("cuda.").removesuffix("Tensor")
        if kind not in names:
            raise ValueError(f"invalid type: '{dtype}'")
        return convert(self, "cuda" if ".cuda." in dtype else "cpu", names[kind])
    if isinstance(dtype, dtypes.dtype):
        return convert(self, None, dtype)
    return convert(self, None, dtype.dtype)


@op(name="copy", method=False, linear=True)
def _copied(input: Array, src: Array):
    """What ``input`` becomes: ``src`` in its shape and dtype; no gradient reaches the old contents."""
    import jax.numpy as jnp

    return jnp.broadcast_to(_promotion.cast(src, dtypes.from_numpy(input.dtype)), input.shape)


@method()
def copy_(self, other, non_blocking=False):
    """Take over the values of ``other``, a tensor or a number, converted and broadcast; gradients flow to it.

    Args:
        other: the values.
        non_blocking: accepted: JAX never waits.

    Raises:
        RuntimeError: the shapes do not broadcast.
    """
    self._check_in_place()
    if isinstance(other, bool | int | float | complex):
        return self.fill_(other)
    if not isinstance(other, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type_name(other)}")
    src = other
    shape, other = self._array().shape, src._array().shape
    lead = len(shape) - len(other)
    if (lead < 0 and 1 not in other[:-lead]) or any(n not in (1, m) for n, m in zip(reversed(other), reversed(shape))):
        at = next((i for i in range(1, min(len(shape), len(other)) + 1) if other[-i] not in (1, shape[-i])), 1)
        raise RuntimeError(
            f"The size of tensor a ({shape[-at] if shape else 1}) must match the size of tensor b ({other[-at]}) at "
            f"non-singleton dimension {len(shape) - at}"
        )
    if lead < 0:
        src = src.reshape(other[-lead:])
    if src.device != self.device:
        src = _moved(src, self.device) if not self.is_meta else src
    return self._assign(_copied(self, src))


@method()
def contiguous(self, memory_format=dtypes.contiguous_format):
    """The tensor itself where its elements lie row-major, else a copy that does."""
    return self if not self._path or self.is_contiguous() else clone(self)


@method()
def set_(self, source=None):
    """Share the storage of another tensor."""
    if source is not None:
        self.data = source.detach()
    return self


@method()
def pin_memory(self, device=None):
    """Accepted: JAX pins what it transfers."""
    return self


@method()
def is_pinned(self, device=None):
    """Always False; see ``pin_memory``."""
    return False


@method()
def record_stream(self, stream):
    """Accepted: JAX tracks which stream uses a buffer."""


__all__ = [
    "clone",
]  # fmt: skip
