"""Owns the way from a tensor to Python: numbers, lists, numpy, DLPack, truth, length.

May import the description of a tensor, the tape, jax and numpy.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
from jax.core import Tracer

from .._graph.engine import Values
from .._graph.modes import state
from .describe import Described

_SCALAR_NAMES = {
    "bfloat16": "BFloat16",
    "float8_e4m3fn": "Float8_e4m3fn",
    "float8_e5m2": "Float8_e5m2",
    "float8_e4m3fnuz": "Float8_e4m3fnuz",
    "float8_e5m2fnuz": "Float8_e5m2fnuz",
    "float8_e8m0fnu": "Float8_e8m0fnu",
}


class ToPython(Described):
    """Conversions out of a tensor."""

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
        if state.trace is not None and isinstance(array, Tracer):
            return state.trace.item(array)
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

    @property
    def __jax_array__(self):
        # To the left of an operator, a number that a program takes leaves it to the tensor, as a Python number does.
        if state.trace is not None and sys._getframe(1).f_code.co_name.startswith("_operator_"):
            raise AttributeError("__jax_array__")
        return self._array

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
        if self.dim() == 0 and not self.is_meta and type(self).__name__ == "Tensor":
            return self.item().__format__(spec)
        return object.__format__(self, spec)
