"""Owns the modules that round values to a quantization grid while a model trains.

May import nn, the operators and the observers.
"""

from __future__ import annotations

from typing import Any

from jax.core import Tracer

from ... import dtypes
from ..._tensor.tensor import Tensor
from ...nn import Module
from ...ops import search
from ...ops.creation import tensor
from ...ops.fake_quantize import (
    fake_quantize_per_channel_affine,
    fake_quantize_per_tensor_affine,
    fused_moving_avg_obs_fake_quant,
)
from .histogram import HistogramObserver
from .observer import (
    FixedQParamsObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    _RangeObserver,
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
)
from .observer_base import _with_args
from .utils import is_per_channel, is_per_tensor

where: Any = search.where


class FakeQuantizeBase(Module):
    """What the modules that round share: two switches, kept as buffers, for rounding and for observing."""

    fake_quant_enabled: Tensor
    observer_enabled: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("fake_quant_enabled", "observer_enabled"):
            self.register_buffer(name, tensor([1], dtype=dtypes.uint8))

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point.

        Raises:
            NotImplementedError: a subclass has to say.
        """
        raise NotImplementedError(f"{type(self).__name__} has no calculate_qparams")

    def enable_fake_quant(self, enabled: bool = True) -> None:
        """Round from now on, or not."""
        self.fake_quant_enabled[0] = 1 if enabled else 0

    def disable_fake_quant(self) -> None:
        """Round no more."""
        self.enable_fake_quant(False)

    def enable_observer(self, enabled: bool = True) -> None:
        """Observe from now on, or not."""
        self.observer_enabled[0] = 1 if enabled else 0

    def disable_observer(self) -> None:
        """Observe no more: scale and zero point stay."""
        self.enable_observer(False)

    with_args = classmethod(_with_args)

    def _options(self, *names: str) -> str:
        held = {"quant_min": "activation_post_process", "quant_max": "activation_post_process"}
        values = [(n, getattr(getattr(self, held[n]) if n in held else self, n)) for n in names]
        return ", ".join(f"{name}={value}" for name, value in values)


class FakeQuantize(FakeQuantizeBase):
    """Observes the range of its inputs and rounds them to the grid for it; gradients pass where nothing was clipped.

    Args:
        observer: makes the observer.
        quant_min, quant_max: the lowest and highest level; default: the observer's.
        is_dynamic: whether the range is that of each input alone.
        observer_kwargs: for the observer.

    Shape:
        Any; the result has it too.

    Raises:
        AssertionError: levels that the type has not, or an unknown scheme.

    Example:
        >>> import rushlight as torch
        >>> rounding = FakeQuantize(quant_min=0, quant_max=255)
        >>> rounding(torch.tensor([0.0, 0.123, 2.55]))
        tensor([0.0000, 0.1200, 2.5500])
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, observer: Any = MovingAverageMinMaxObserver, quant_min: int | None = None, quant_max: int | None = None,
        is_dynamic: bool = False, **observer_kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if quant_min is not None and quant_max is not None:
            if quant_min > quant_max:
                raise AssertionError("quant_min must be less than or equal to quant_max")
            given = getattr(getattr(observer, "p", None), "keywords", {})
            limits = dtypes.iinfo(given.get("dtype", observer_kwargs.get("dtype", dtypes.quint8)))
            if quant_min < limits.min:
                raise AssertionError(f"quant_min out of bound: {quant_min} is below {limits.min}")
            if quant_max > limits.max:
                raise AssertionError(f"quant_max out of bound: {quant_max} is above {limits.max}")
            observer_kwargs.update(quant_min=quant_min, quant_max=quant_max)
        watcher = self.activation_post_process = observer(**observer_kwargs, is_dynamic=is_dynamic)
        self.quant_min, self.quant_max = watcher.quant_min, watcher.quant_max
        self.is_dynamic = watcher.is_dynamic
        self.dtype, self.qscheme = watcher.dtype, watcher.qscheme
        self.ch_axis = getattr(watcher, "ch_axis", -1)
        whole = self.qscheme != dtypes.per_channel_affine_float_qparams
        self.register_buffer("scale", tensor([1.0], dtype=dtypes.float32))
        self.register_buffer("zero_point", tensor([0], dtype=dtypes.int32 if whole else dtypes.float32))
        if not (is_per_channel(self.qscheme) or is_per_tensor(self.qscheme)):
            raise AssertionError(
                "Only per channel and per tensor quantization are supported in fake quantize got qscheme: "
                f"{self.qscheme}"
            )
        self.is_per_channel = is_per_channel(self.qscheme)

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """Scale and zero point of the range observed."""
        return self.activation_post_process.calculate_qparams()

    def _keep(self, scale: Any, zero_point: Any) -> None:
        for held, new in ((self.scale, scale), (self.zero_point, zero_point)):
            if held.shape != new.shape:
                held.resize_(new.shape)
            held.copy_(new.to(held.device))

    def _round(self, X: Tensor) -> Tensor:
        low, high = self.activation_post_process.quant_min, self.activation_post_process.quant_max
        if self.is_per_channel:
            return fake_quantize_per_channel_affine(X, self.scale, self.zero_point, self.ch_axis, low, high)
        return fake_quantize_per_tensor_affine(X, self.scale, self.zero_point, low, high)

    def forward(self, X: Tensor) -> Tensor:
        """Observe and round, as far as that is switched on."""
        watcher = self.activation_post_process
        if isinstance(self.observer_enabled._array(), Tracer) and isinstance(watcher, _RangeObserver) and X.numel():
            return self._forward_traced(X, watcher)
        if self.observer_enabled.item() == 1:
            watcher(X.detach())
            self._keep(*self.calculate_qparams())
        return self._round(X) if self.fake_quant_enabled.item() == 1 else X

    def _forward_traced(self, X: Tensor, watcher: _RangeObserver) -> Tensor:
        """The same inside a program, whose switches have no values yet: both outcomes, and a choice."""
        watching = self.observer_enabled[0] == 1
        low, high = watcher._observed(X.detach())
        scale, zero_point = watcher._grid(low, high)
        watcher._keep(where(watching, low, watcher.min_val), where(watching, high, watcher.max_val))
        zero_point = zero_point.to(self.zero_point.dtype)
        self._keep(where(watching, scale, self.scale), where(watching, zero_point, self.zero_point))
        return where(self.fake_quant_enabled[0] == 1, self._round(X), X)

    def extra_repr(self) -> str:
        """The switches, the levels and the grid."""
        return self._options(
            "fake_quant_enabled", "observer_enabled", "quant_min", "quant_max", "dtype", "qscheme", "ch_axis", "scale",
            "zero_point",
        )  # fmt: skip

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        for name in ("scale", "zero_point"):
            value = state_dict.get(prefix + name)
            if value is not None and getattr(self, name).shape != value.shape:
                getattr(self, name).resize_(value.shape)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class FixedQParamsFakeQuantize(FakeQuantize):
    """Rounds to one grid that never changes.

    Args:
        observer: makes a ``FixedQParamsObserver``.

    Raises:
        AssertionError: another observer, or a scheme with channels.
    """

    def __init__(self, observer: Any) -> None:
        super().__init__(observer=observer)
        watcher = self.activation_post_process
        if type(watcher) is not FixedQParamsObserver:
            raise AssertionError(f"{type(self).__name__}'s observer must be a FixedQParamsObserver")
        self._observer_ctr = observer
        self.scale, self.zero_point = watcher.scale, watcher.zero_point
        if not is_per_tensor(self.qscheme):
            raise AssertionError(
                f"Only per tensor quantization is supported FixedQParamsFakeQuantize module, got qscheme:{self.qscheme}"
            )

    def calculate_qparams(self, **kwargs: Any) -> Any:
        """The scale and the zero point."""
        return self.scale, self.zero_point

    def forward(self, X: Tensor) -> Tensor:
        """Round, if that is switched on."""
        if isinstance(self.fake_quant_enabled._array(), Tracer):
            return where(self.fake_quant_enabled[0] == 1, self._round(X), X)
        return super().forward(X)

    def extra_repr(self) -> str:
        """The switches, the grid and the levels."""
        return self._options(
            "fake_quant_enabled", "observer_enabled", "scale", "zero_point", "dtype", "quant_min", "quant_max",
            "qscheme",
        )  # fmt: skip


class FusedMovingAvgObsFakeQuantize(FakeQuantize):
    """Observes a moving average of the range and rounds, in one operator; its grids differ slightly, as torch's do.

    Args:
        observer: ``MovingAverageMinMaxObserver`` or that of channels.
        quant_min, quant_max: the lowest and highest level.
        observer_kwargs: for the observer.

    Raises:
        AssertionError: another observer.
    """

    def __init__(
        self, observer: Any = MovingAverageMinMaxObserver, quant_min: int = 0, quant_max: int = 255,
        **observer_kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(observer, quant_min, quant_max, **observer_kwargs)
        watcher = self.activation_post_process
        if not isinstance(watcher, (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver)):
            raise AssertionError("Fused observer+fake_quant module only works with MovingAverageMinMaxObserver")
        for name in ("fake_quant_enabled", "observer_enabled"):
            self.register_buffer(name, tensor([1], dtype=dtypes.int64))
        self.is_symmetric_quant = self.qscheme in (dtypes.per_tensor_symmetric, dtypes.per_channel_symmetric)

    def forward(self, X: Tensor) -> Tensor:
        """Observe and round, as far as that is switched on."""
        watcher = self.activation_post_process
        return fused_moving_avg_obs_fake_quant(
            X, self.observer_enabled, self.fake_quant_enabled, watcher.min_val, watcher.max_val, self.scale,
            self.zero_point, watcher.averaging_constant, watcher.quant_min, watcher.quant_max, self.ch_axis,
            self.is_per_channel, self.is_symmetric_quant,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The switches, the grid, the levels and whether one bit is left out."""
        names = ("scale", "zero_point", "dtype", "quant_min", "quant_max", "qscheme")
        shown = self._options("fake_quant_enabled", "observer_enabled", *names)
        return f"{shown}, reduce_range={self.activation_post_process.reduce_range}"


_TENSOR = {"observer": MovingAverageMinMaxObserver}
_CHANNEL = {"observer": MovingAveragePerChannelMinMaxObserver}
_BYTE = {"quant_min": 0, "quant_max": 255, "dtype": dtypes.quint8}
_SIGNED = {"quant_min": -128, "quant_max": 127, "dtype": dtypes.qint8}
_NARROW = {"quant_min": -127, "quant_max": 127, "dtype": dtypes.qint8, "eps": 2**-12}
_AFFINE = {"qscheme": dtypes.per_tensor_affine, "reduce_range": True}
_EVEN, _EVEN_CHANNEL = {"qscheme": dtypes.per_tensor_symmetric}, {"qscheme": dtypes.per_channel_symmetric}
_FLOAT_ZERO = {"qscheme": dtypes.per_channel_affine_float_qparams, "ch_axis": 0, "averaging_constant": 1}
_whole, _fused = FakeQuantize.with_args, FusedMovingAvgObsFakeQuantize.with_args

default_fake_quant = _whole(**_TENSOR, **_BYTE, **_AFFINE)
default_weight_fake_quant = _whole(**_TENSOR, **_SIGNED, **_EVEN, reduce_range=False)
default_dynamic_fake_quant = _whole(**_TENSOR, **_BYTE, is_dynamic=True, averaging_constant=1)
default_fixed_qparams_range_neg1to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_neg1to1_observer
)
default_fixed_qparams_range_0to1_fake_quant = FixedQParamsFakeQuantize.with_args(
    observer=default_fixed_qparams_range_0to1_observer
)
default_symmetric_fixed_qparams_fake_quant = default_fixed_qparams_range_neg1to1_fake_quant
default_affine_fixed_qparams_fake_quant = default_fixed_qparams_range_0to1_fake_quant
default_per_channel_weight_fake_quant = _whole(**_CHANNEL, **_SIGNED, **_EVEN_CHANNEL, reduce_range=False, ch_axis=0)
default_embedding_fake_quant = _whole(**_CHANNEL, **_BYTE, **_FLOAT_ZERO)
default_embedding_fake_quant_4bit = _whole(**_CHANNEL, **_FLOAT_ZERO, dtype=dtypes.quint4x2)
default_histogram_fake_quant = _whole(observer=HistogramObserver, **_BYTE, **_AFFINE)
default_fused_act_fake_quant = _fused(**_TENSOR, **_BYTE)
default_fused_wt_fake_quant = _fused(**_TENSOR, **_SIGNED, **_EVEN)
default_fused_per_channel_wt_fake_quant = _fused(**_CHANNEL, **_SIGNED, **_EVEN_CHANNEL)
fused_wt_fake_quant_range_neg_127_to_127 = _fused(**_TENSOR, **_NARROW, **_EVEN)
fused_per_channel_wt_fake_quant_range_neg_127_to_127 = _fused(**_CHANNEL, **_NARROW, **_EVEN_CHANNEL)


def _switch(name: str, doc: str) -> Any:
    def switch(mod: Module) -> None:
        if isinstance(mod, FakeQuantizeBase):
            getattr(mod, name)()

    switch.__name__ = switch.__qualname__ = name
    switch.__doc__ = doc
    return switch


disable_fake_quant = _switch("disable_fake_quant", "Let a module that rounds do so no more; for ``Module.apply``.")
enable_fake_quant = _switch("enable_fake_quant", "Let a module that rounds do so; for ``Module.apply``.")
disable_observer = _switch("disable_observer", "Let a module that rounds observe no more; for ``Module.apply``.")
enable_observer = _switch("enable_observer", "Let a module that rounds observe; for ``Module.apply``.")

__all__ = [
    "FakeQuantize", "FakeQuantizeBase", "FixedQParamsFakeQuantize", "FusedMovingAvgObsFakeQuantize",
    "default_affine_fixed_qparams_fake_quant", "default_dynamic_fake_quant", "default_embedding_fake_quant",
    "default_embedding_fake_quant_4bit", "default_fake_quant", "default_fixed_qparams_range_0to1_fake_quant",
    "default_fixed_qparams_range_neg1to1_fake_quant", "default_fused_act_fake_quant",
    "default_fused_per_channel_wt_fake_quant", "default_fused_wt_fake_quant", "default_histogram_fake_quant",
    "default_per_channel_weight_fake_quant", "default_symmetric_fixed_qparams_fake_quant",
    "default_weight_fake_quant", "disable_fake_quant", "disable_observer", "enable_fake_quant", "enable_observer",
    "fused_per_channel_wt_fake_quant_range_neg_127_to_127", "fused_wt_fake_quant_range_neg_127_to_127",
]  # fmt: skip
