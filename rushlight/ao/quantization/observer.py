"""Owns the observers: modules that watch values pass and tell scale and zero point for the range they saw.

May import nn, the operators and the base beside; the one that keeps a histogram is in the file beside.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

from ... import dtypes
from ..._tensor.tensor import Tensor
from ...nn import Module
from ...ops.creation import empty, tensor
from ...ops.fake_quantize import observed_range
from .histogram import HistogramObserver, default_histogram_observer
from .observer_base import EPS, INF, ObserverBase, UniformQuantizationObserverBase, placed
from .utils import is_per_channel, is_per_tensor


class _RangeObserver(UniformQuantizationObserverBase):
    """Keeps the least and the greatest value, over everything or in each channel."""

    averaging_constant: float | None = None
    _axis: int | None = None
    min_val: Tensor
    max_val: Tensor

    def _no_reduced_symmetric(self) -> None:
        symmetric = self.qscheme in (dtypes.per_tensor_symmetric, dtypes.per_channel_symmetric)
        if symmetric and self.reduce_range and self.dtype == dtypes.quint8:
            raise NotImplementedError("Cannot reduce range for symmetric quantization for quint8")

    def _observed(self, x: Tensor) -> Any:
        """The range after seeing ``x``."""
        return observed_range(x, self.min_val, self.max_val, self.averaging_constant, self._axis)

    def _keep(self, low: Tensor, high: Tensor) -> None:
        for held, new in ((self.min_val, low), (self.max_val, high)):
            if held.shape != new.shape:
                held.resize_(new.shape)
            held.copy_(new)

    def forward(self, x_orig: Tensor) -> Tensor:
        """Give the input back, after a look at its range."""
        if x_orig.numel():
            self._keep(*self._observed(x_orig.detach()))
        return x_orig

    def calculate_qparams(self) -> Any:  # type: ignore[override]
        """Scale and zero point for the range seen so far."""
        return self._calculate_qparams(self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """The range."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class MinMaxObserver(_RangeObserver):
    """Watches the least and the greatest value of all inputs.

    Args: those of ``UniformQuantizationObserverBase``.

    Raises:
        NotImplementedError: a scheme with channels.

    Example:
        >>> import rushlight as torch
        >>> observer = MinMaxObserver()
        >>> observer(torch.tensor([-1.0, 1.55])).shape, observer.calculate_qparams()
        (torch.Size([2]), (tensor([0.0100]), tensor([100], dtype=torch.int32)))
    """

    def __init__(
        self, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_tensor_affine, reduce_range: bool = False,
        quant_min: int | None = None, quant_max: int | None = None, factory_kwargs: dict | None = None,
        eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not is_per_tensor(qscheme):
            raise NotImplementedError(
                f"{type(self).__name__}'s qscheme only support torch.per_tensor_symmetric and "
                f"torch.per_tensor_affine, but got: {qscheme}."
            )
        super().__init__(
            dtype=dtype, qscheme=qscheme, reduce_range=reduce_range, quant_min=quant_min, quant_max=quant_max,
            factory_kwargs=factory_kwargs, eps=eps, is_dynamic=is_dynamic, **kwargs,
        )  # fmt: skip
        self.register_buffer("min_val", tensor(INF, **placed(factory_kwargs)))
        self.register_buffer("max_val", tensor(-INF, **placed(factory_kwargs)))
        self._no_reduced_symmetric()

    def reset_min_max_vals(self) -> None:
        """Forget the range."""
        self.min_val.fill_(INF)
        self.max_val.fill_(-INF)


class MovingAverageMinMaxObserver(MinMaxObserver):
    """Watches the moving averages of the least and the greatest value.

    Args:
        averaging_constant: the share of the newest input.
        others: those of ``MinMaxObserver``.

    Raises:
        NotImplementedError: a scheme with channels, or dynamic with a share other than 1.
    """

    def __init__(
        self, averaging_constant: float = 0.01, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_tensor_affine,
        reduce_range: bool = False, quant_min: int | None = None, quant_max: int | None = None, eps: float = EPS,
        is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if is_dynamic and averaging_constant != 1:
            raise NotImplementedError(
                "MovingAverageMinMaxObserver doesn't support dynamic quantization for averaging constant of "
                f"{averaging_constant}"
            )
        super().__init__(dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic, **kwargs)
        self.averaging_constant = averaging_constant


class PerChannelMinMaxObserver(_RangeObserver):
    """Watches the least and the greatest value of each channel.

    Args:
        ch_axis: the dimension of the channels.
        others: those of ``UniformQuantizationObserverBase``.

    Raises:
        NotImplementedError: a scheme without channels, or dynamic.
    """

    def __init__(
        self, ch_axis: int = 0, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_channel_affine,
        reduce_range: bool = False, quant_min: int | None = None, quant_max: int | None = None,
        factory_kwargs: dict | None = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not is_per_channel(qscheme):
            raise NotImplementedError(
                f"{type(self).__name__}'s qscheme only support torch.per_channel_symmetric, torch.per_channel_affine "
                f"and torch.per_channel_affine_float_qparams, but got: {qscheme}."
            )
        if is_dynamic:
            raise NotImplementedError(f"{type(self).__name__} doesn't support dynamic quantization")
        super().__init__(
            dtype=dtype, qscheme=qscheme, reduce_range=reduce_range, quant_min=quant_min, quant_max=quant_max,
            factory_kwargs=factory_kwargs, eps=eps, is_dynamic=is_dynamic, **kwargs,
        )  # fmt: skip
        self.ch_axis = ch_axis
        self.register_buffer("min_val", tensor([], **placed(factory_kwargs)))
        self.register_buffer("max_val", tensor([], **placed(factory_kwargs)))
        self._no_reduced_symmetric()

    @property
    def _axis(self) -> int:  # type: ignore[override]
        return self.ch_axis

    def has_uninitialized_params(self) -> bool:
        """Whether nothing told the number of channels yet: as with lazy layers, ``compile`` runs that call eagerly."""
        return self.min_val.numel() == 0

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        for name in ("min_val", "max_val"):
            # Before version 3 the names were plural.
            if (local_metadata.get("version") or 3) < 3 and prefix + name + "s" in state_dict:
                state_dict[prefix + name] = state_dict.pop(prefix + name + "s")
            value = state_dict.get(prefix + name)
            if value is not None and getattr(self, name).shape != value.shape:
                getattr(self, name).resize_(value.shape)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def reset_min_max_vals(self) -> None:
        """Forget the ranges."""
        for name in ("min_val", "max_val"):
            setattr(self, name, empty(0, device=getattr(self, name).device))


class MovingAveragePerChannelMinMaxObserver(PerChannelMinMaxObserver):
    """Watches the moving averages of the least and the greatest value of each channel.

    Args:
        averaging_constant: the share of the newest input.
        others: those of ``PerChannelMinMaxObserver``.
    """

    def __init__(
        self, averaging_constant: float = 0.01, ch_axis: int = 0, dtype: Any = dtypes.quint8,
        qscheme: Any = dtypes.per_channel_affine, reduce_range: bool = False, quant_min: int | None = None,
        quant_max: int | None = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            ch_axis, dtype, qscheme, reduce_range, quant_min, quant_max, eps=eps, is_dynamic=is_dynamic, **kwargs
        )
        self.averaging_constant = averaging_constant


class _Passive(ObserverBase):
    """Passes values through and computes no scale."""

    def forward(self, x: Any) -> Any:
        """Give ``x`` back."""
        return x


class FixedQParamsObserver(_Passive):
    """Gives the scale and zero point that it was made with.

    Args:
        scale, zero_point: which.
        dtype, qscheme, quant_min, quant_max: as for the other observers.

    Raises:
        NotImplementedError: dynamic.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, scale: float, zero_point: int, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_tensor_affine,
        quant_min: int = 0, quant_max: int = 255, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if is_dynamic:
            raise NotImplementedError("FixedQParamsObserver doesn't support dynamic quantization")
        super().__init__(dtype=dtype, is_dynamic=is_dynamic, **kwargs)
        self.quant_min, self.quant_max, self.qscheme = quant_min, quant_max, qscheme
        self.register_buffer("scale", tensor([scale], dtype=dtypes.float32))
        self.register_buffer("zero_point", tensor([zero_point], dtype=dtypes.int32))

    def calculate_qparams(self) -> Any:  # type: ignore[override]
        """The scale and the zero point."""
        return self.scale, self.zero_point


class PlaceholderObserver(_Passive):
    """Says how values would be quantized, and looks at none of them.

    Args:
        dtype, qscheme, quant_min, quant_max, eps, is_dynamic: what it says.
        custom_op_name: kept as ``custom_op``.
        compute_dtype: an older way to say ``is_dynamic``; warns.
    """

    def __init__(
        self, dtype: Any = dtypes.float32, custom_op_name: str = "", compute_dtype: Any = None,
        quant_min: int | None = None, quant_max: int | None = None, qscheme: Any = None, eps: float | None = None,
        is_dynamic: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(dtype=dtype, is_dynamic=is_dynamic)
        self.qscheme = dtypes.per_tensor_affine if qscheme is None else qscheme
        self.quant_min, self.quant_max = quant_min, quant_max
        self.eps = EPS if eps is None else eps
        self.custom_op = custom_op_name
        if compute_dtype:
            warnings.warn("Please use `is_dynamic` instead of `compute_dtype`.", stacklevel=2)

    def extra_repr(self) -> str:
        """What it says."""
        return f"dtype={self.dtype}, is_dynamic={self.is_dynamic}"


class RecordingObserver(ObserverBase):
    """Keeps a copy of every value that passes.

    Args:
        dtype: kept as an attribute.
    """

    def __init__(self, dtype: Any = dtypes.quint8) -> None:
        super().__init__(dtype=dtype, is_dynamic=False)
        self.tensor_val: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Give ``x`` back."""
        self.tensor_val.append(x.clone())
        return x

    def get_tensor_value(self) -> list[Tensor]:
        """What has passed."""
        return self.tensor_val


class NoopObserver(_Passive):
    """Looks at nothing.

    Args:
        dtype: kept as an attribute.
        custom_op_name: kept as ``custom_op``.
    """

    def __init__(self, dtype: Any = dtypes.float16, custom_op_name: str = "") -> None:
        super().__init__(dtype=dtype, is_dynamic=False)
        self.custom_op = custom_op_name


class ReuseInputObserver(_Passive):
    """Says that the result has its input's grid."""

    def __init__(self) -> None:
        super().__init__(dtypes.quint8, is_dynamic=False)


def get_observer_state_dict(mod: Module) -> OrderedDict:
    """The entries of ``state_dict`` that belong to observers."""
    state = mod.state_dict()
    found = OrderedDict((k, v) for k, v in state.items() if "activation_post_process" in k)
    found._metadata = state._metadata  # type: ignore[attr-defined]
    return found


def load_observer_state_dict(mod: Module, obs_dict: Any) -> None:
    """Load what ``get_observer_state_dict`` gave.

    Raises:
        RuntimeError: entries are missing or do not fit.
    """
    from .fake_quantize import FakeQuantizeBase

    missing: list[str] = []
    errors: list[str] = []
    for name, module in mod.named_modules():
        if isinstance(module, (ObserverBase, FakeQuantizeBase)):
            module._load_from_state_dict(obs_dict, f"{name}.", {}, False, missing, [], errors)
    lacking = [k for k in missing if "observer" in k or "activation_post_process" in k]
    if lacking or errors:
        raise RuntimeError("\n".join([*(f"Missing keys for observer {k} in state_dict" for k in lacking), *errors]))


_SYMMETRIC = {"dtype": dtypes.qint8, "qscheme": dtypes.per_tensor_symmetric}
_CHANNELS = {"dtype": dtypes.qint8, "qscheme": dtypes.per_channel_symmetric}
_NARROW = {"quant_min": -127, "quant_max": 127, "eps": 2**-12}
_FLOAT_ZERO = {"qscheme": dtypes.per_channel_affine_float_qparams, "ch_axis": 0}
_BYTE = {"dtype": dtypes.quint8, "quant_min": 0, "quant_max": 255}

default_observer = MinMaxObserver.with_args(quant_min=0, quant_max=127)
default_placeholder_observer = PlaceholderObserver
default_debug_observer = RecordingObserver
default_weight_observer = MinMaxObserver.with_args(**_SYMMETRIC)
weight_observer_range_neg_127_to_127 = MinMaxObserver.with_args(**_SYMMETRIC, **_NARROW)
default_per_channel_weight_observer = PerChannelMinMaxObserver.with_args(**_CHANNELS)
per_channel_weight_observer_range_neg_127_to_127 = PerChannelMinMaxObserver.with_args(**_CHANNELS, **_NARROW)
default_dynamic_quant_observer = PlaceholderObserver.with_args(**_BYTE, is_dynamic=True)
default_float_qparams_observer = PerChannelMinMaxObserver.with_args(dtype=dtypes.quint8, **_FLOAT_ZERO)
default_float_qparams_observer_4bit = PerChannelMinMaxObserver.with_args(dtype=dtypes.quint4x2, **_FLOAT_ZERO)
default_fixed_qparams_range_neg1to1_observer = FixedQParamsObserver.with_args(
    scale=2.0 / 256.0, zero_point=128, **_BYTE
)
default_fixed_qparams_range_0to1_observer = FixedQParamsObserver.with_args(scale=1.0 / 256.0, zero_point=0, **_BYTE)
default_symmetric_fixed_qparams_observer = default_fixed_qparams_range_neg1to1_observer
default_affine_fixed_qparams_observer = default_fixed_qparams_range_0to1_observer
default_reuse_input_observer = ReuseInputObserver

__all__ = [
    "FixedQParamsObserver", "HistogramObserver", "MinMaxObserver", "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver", "NoopObserver", "ObserverBase", "PerChannelMinMaxObserver",
    "PlaceholderObserver", "RecordingObserver", "ReuseInputObserver", "UniformQuantizationObserverBase",
    "default_affine_fixed_qparams_observer", "default_debug_observer", "default_dynamic_quant_observer",
    "default_fixed_qparams_range_0to1_observer", "default_fixed_qparams_range_neg1to1_observer",
    "default_float_qparams_observer", "default_float_qparams_observer_4bit", "default_histogram_observer",
    "default_observer", "default_per_channel_weight_observer", "default_placeholder_observer",
    "default_reuse_input_observer", "default_symmetric_fixed_qparams_observer", "default_weight_observer",
    "get_observer_state_dict", "load_observer_state_dict", "per_channel_weight_observer_range_neg_127_to_127",
    "weight_observer_range_neg_127_to_127",
]  # fmt: skip
