"""Owns what the observers share: constructors with arguments given, and how a range becomes scale and zero point.

May import nn, the operators and utils beside.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from ... import dtypes
from ..._tensor.tensor import Tensor
from ...nn import Module
from ...ops.creation import tensor
from ...ops.fake_quantize import range_to_grid
from .utils import calculate_qmin_qmax, is_per_channel, is_per_tensor, validate_qmin_qmax

EPS = dtypes.finfo(dtypes.float32).eps
INF = float("inf")
_TYPES = (
    "qint8", "quint8", "quint4x2", "qint32", "int8", "uint8", "int16", "int32", "float8_e5m2", "float8_e4m3fn",
    "uint16",
)  # fmt: skip


class _PartialWrapper:
    """A constructor with some arguments given, and some that are computed at each call."""

    def __init__(self, p: Any) -> None:
        self.p = p
        self.callable_args: dict[str, Any] = {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        computed = {name: make() for name, make in self.callable_args.items() if name not in keywords}
        return self.p(*args, **keywords, **computed)

    def __repr__(self) -> str:
        return repr(self.p) + repr(self.callable_args)

    def with_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with more arguments."""
        return _with_args(self, **kwargs)

    def with_callable_args(self, **kwargs: Any) -> _PartialWrapper:
        """The same with more arguments that are computed at each call."""
        result = _PartialWrapper(self.p)
        result.callable_args = {**self.callable_args, **kwargs}
        return result


def _with_args(cls_or_self: Any, **kwargs: Any) -> _PartialWrapper:
    return _PartialWrapper(partial(cls_or_self, **kwargs))


def _with_callable_args(cls_or_self: Any, **kwargs: Any) -> _PartialWrapper:
    return _PartialWrapper(partial(cls_or_self)).with_callable_args(**kwargs)


def placed(factory_kwargs: dict | None) -> dict:
    """Device and dtype for the buffers."""
    given = dict(factory_kwargs or {})
    return {**given.pop("factory_kwargs", {}), **given}


class ObserverBase(Module):
    """What observers share; a subclass has ``forward``, which gives its input back, and ``calculate_qparams``.

    Args:
        dtype: the type that would hold the levels.
        is_dynamic: whether the range is that of each input alone.
    """

    def __init__(self, dtype: Any, is_dynamic: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.is_dynamic = is_dynamic

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point.

        Raises:
            NotImplementedError: this observer computes none.
        """
        raise NotImplementedError(f"calculate_qparams should not be called for {type(self).__name__}")

    with_args = classmethod(_with_args)
    with_callable_args = classmethod(_with_callable_args)


class UniformQuantizationObserverBase(ObserverBase):
    """What the observers of ranges share: how a range becomes scale and zero point.

    Args:
        dtype: the type that would hold the levels.
        qscheme: one grid or one for each channel; symmetric around 0 or not.
        reduce_range: leave out one bit.
        quant_min, quant_max: the lowest and highest level; default: those of ``dtype``.
        factory_kwargs: device and dtype of the buffers.
        eps: the smallest scale.
        is_dynamic: whether the range is that of each input alone.

    Raises:
        AssertionError: a scheme, a type or limits that do not exist.
    """

    _version = 3
    eps: Tensor

    def __init__(
        self, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_tensor_affine, reduce_range: bool = False,
        quant_min: int | None = None, quant_max: int | None = None, factory_kwargs: dict | None = None,
        eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.qscheme = qscheme
        if reduce_range:
            warnings.warn(
                "Please use quant_min and quant_max to specify the range for observers. reduce_range will be "
                "deprecated in a future release of PyTorch.",
                stacklevel=2,
            )
        self.reduce_range = reduce_range
        self.register_buffer("eps", tensor([eps], **placed(factory_kwargs)))
        if not (is_per_tensor(qscheme) or is_per_channel(qscheme)):
            raise AssertionError(f"Default Observer expects one of torch's quantization schemes, got {qscheme}")
        if getattr(dtype, "name", None) not in _TYPES:
            raise AssertionError(f"Default Observer only works for {', '.join(_TYPES)}, got {dtype}")
        self.has_customized_qrange = quant_min is not None and quant_max is not None
        if quant_min is not None and quant_max is not None:
            validate_qmin_qmax(quant_min, quant_max)
        self.quant_min, self.quant_max = calculate_qmin_qmax(
            quant_min, quant_max, self.has_customized_qrange, dtype, reduce_range
        )

    def _grid(self, low: Tensor, high: Tensor) -> Any:
        """Scale and zero point of a range, which nothing checks."""
        low_level, high_level, middle, scheme = self.quant_min, self.quant_max, 0, "affine"
        if self.qscheme in (dtypes.per_tensor_symmetric, dtypes.per_channel_symmetric):
            scheme = "symmetric"
            if self.dtype in (dtypes.quint8, dtypes.uint8):
                middle = (low_level + high_level) // 2 if self.has_customized_qrange else 128
            elif self.dtype == dtypes.uint16:
                middle = 2**15
        elif self.qscheme == dtypes.per_channel_affine_float_qparams:
            scheme = "float"
        span = float(high_level - low_level)
        return range_to_grid(low, high, self.eps.to(low.device), span, low_level, high_level, scheme, middle)

    def _calculate_qparams(self, min_val: Tensor, max_val: Tensor) -> Any:
        """Scale and zero point of a range; 1 and 0, with a warning, where nothing was observed.

        Raises:
            AssertionError: the least value is above the greatest.
        """
        unseen = min_val.numel() == 0 or max_val.numel() == 0
        if unseen or (min_val.dim() == 0 and min_val.item() == INF and max_val.item() == -INF):
            warnings.warn("must run observer before calling calculate_qparams. Returning default values.", stacklevel=3)
            return tensor([1.0], device=min_val.device), tensor([0], device=min_val.device)
        if bool((min_val > max_val).any()):
            raise AssertionError(f"min {min_val} should be less than max {max_val}")
        return self._grid(min_val, max_val)

    def reset_min_max_vals(self) -> None:
        """Forget the range.

        Raises:
            NotImplementedError: there is none.
        """
        raise NotImplementedError("Cannot reset min/max values in the given observer.")


__all__ = ["ObserverBase", "UniformQuantizationObserverBase"]
