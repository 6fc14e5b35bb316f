"""Owns the methods of ``Module`` that move or convert all its tensors: ``to`` and its short forms.

May import Parameter, the modes, devices and the operators that convert.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ... import _device as devices
from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor
from ...ops import convert, creation
from ..parameter import Parameter

_COMPLEX = (
    "Complex modules are a new feature under active development whose design may change, and some modules might not "
    "work as expected when using complex tensors as parameters or buffers."
)


class Moves:
    """The part of ``Module`` that changes the device or dtype of what it holds, in place."""

    _parameters: dict
    _buffers: dict
    _modules: dict

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True):
        """Replace the contents of every parameter, its gradient and every buffer by ``fn`` of it.

        Parameters stay the same objects, so that an optimizer keeps its hold on them.
        """
        if recurse:
            for module in dict.fromkeys(self._modules.values()):  # each once
                if module is not None:
                    module._apply(fn)
        parameters, buffers = self._parameters, self._buffers
        if parameters:
            with no_grad():
                converted = [(n, p, fn(p), p.grad) for n, p in parameters.items() if p is not None]
                grads = [None if grad is None else fn(grad) for *_, grad in converted]
            for (name, parameter, applied, grad), grad_applied in zip(converted, grads):
                out = parameter
                if applied is not parameter:
                    if parameter.is_meta == applied.is_meta:
                        parameter.data = applied
                    else:
                        out = parameters[name] = Parameter(applied, parameter.requires_grad)
                if grad_applied is None or grad_applied is grad:
                    continue
                if out is parameter and grad.is_meta == grad_applied.is_meta:
                    grad.data = grad_applied
                else:
                    out.grad = grad_applied.requires_grad_(grad.requires_grad)
        for name, buffer in buffers.items():
            if buffer is not None:
                buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Move to a device, convert to a floating point dtype, or both; in place.

        Integer parameters and buffers keep their dtype.

        Args:
            device, dtype: where to, what to; or ``tensor``, to be like it.
            non_blocking: accepted; transfers are asynchronous anyway.
            memory_format: for tensors of 4 and 5 dimensions.

        Returns:
            this module.

        Raises:
            TypeError: a dtype that is neither floating point nor complex.

        Example:
            >>> import rushlight as torch
            >>> torch.nn.Linear(2, 2).to(torch.float64).weight.dtype
            torch.float64
        """
        if "tensor" in kwargs:  # what Tensor.to calls ``other``
            kwargs["other"] = kwargs.pop("tensor")
        where, dtype, non_blocking, _, memory_format = convert.parse_to(args, kwargs)
        if dtype is not None:
            if dtype.category < 2:
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
                )
            if dtype.category == 3:
                warnings.warn(_COMPLEX, stacklevel=2)

        there = None if where is None else devices.resolve(where)

        def move(t: Tensor) -> Tensor:
            has = t.dtype
            wanted = dtype if has.category >= 2 else None
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(where, wanted, non_blocking, memory_format=memory_format)
            if (wanted is None or wanted is has) and (there is None or t.device == there):
                return t
            return t.to(where, wanted, non_blocking)

        return self._apply(move)

    def cpu(self):
        """Move everything to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Move everything to a GPU.

        Args:
            device: which; default: the current one.
        """
        return self._apply(lambda t: t.cuda(device))

    def type(self, dst_type):
        """Convert everything to a dtype, integers included."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self):
        """Convert floating point parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self):
        """Convert floating point parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self):
        """Convert floating point parameters and buffers to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self):
        """Convert floating point parameters and buffers to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def to_empty(self, *, device, recurse: bool = True):
        """Move to a device without copying contents; for modules made on ``meta``.

        Args:
            device: where to.
            recurse: the modules below too.
        """
        return self._apply(lambda t: creation.empty_like(t, device=device), recurse=recurse)

    def share_memory(self):
        """Accepted; arrays are copied between processes."""
        return self._apply(lambda t: t.share_memory_())
