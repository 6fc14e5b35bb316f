"""Owns ``QConfig``, which says how values and weights are quantized, and those that torch offers ready-made.

May import nn, observers and the modules that round.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from ... import dtypes
from ...nn import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Identity, Module
from . import fake_quantize as fq
from . import observer as ob
from .observer_base import _PartialWrapper

_BACKENDS = ("fbgemm", "x86", "qnnpack", "onednn")


class QConfig(namedtuple("QConfig", ["activation", "weight"])):
    """How a module is quantized: two constructors of observers or of modules that round.

    Args:
        activation: for what the module gives.
        weight: for its weight.

    Raises:
        ValueError: a module instead of its constructor.

    Example:
        >>> import rushlight as torch
        >>> q = torch.ao.quantization
        >>> qconfig = q.QConfig(activation=q.default_fake_quant, weight=q.default_weight_fake_quant)
    """

    __slots__ = ()

    def __new__(cls, activation: Any, weight: Any) -> QConfig:
        if isinstance(activation, Module) or isinstance(weight, Module):
            raise ValueError(
                "QConfig received observer instance, please pass observer class instead. Use MyObserver.with_args(x=1) "
                "to override arguments to constructor if needed"
            )
        return super().__new__(cls, activation, weight)


default_qconfig = QConfig(ob.default_observer, ob.default_weight_observer)
default_debug_qconfig = QConfig(ob.default_debug_observer, ob.default_weight_observer)
default_per_channel_qconfig = QConfig(ob.default_observer, ob.default_per_channel_weight_observer)
default_dynamic_qconfig = QConfig(ob.default_dynamic_quant_observer, ob.default_weight_observer)
_half = ob.PlaceholderObserver.with_args(dtype=dtypes.float16)
float16_dynamic_qconfig = QConfig(ob.PlaceholderObserver.with_args(dtype=dtypes.float16, is_dynamic=True), _half)
float16_static_qconfig = QConfig(_half, _half)
per_channel_dynamic_qconfig = QConfig(ob.default_dynamic_quant_observer, ob.default_per_channel_weight_observer)
float_qparams_weight_only_qconfig = QConfig(ob.default_placeholder_observer, ob.default_float_qparams_observer)
float_qparams_weight_only_qconfig_4bit = QConfig(
    ob.default_placeholder_observer, ob.default_float_qparams_observer_4bit
)
default_qat_qconfig = QConfig(fq.default_fake_quant, fq.default_weight_fake_quant)
default_dynamic_qat_qconfig = QConfig(fq.default_dynamic_fake_quant, fq.default_weight_fake_quant)
default_weight_only_qconfig = QConfig(Identity, fq.default_weight_fake_quant)
default_activation_only_qconfig = QConfig(fq.default_fake_quant, Identity)
default_qat_qconfig_v2 = QConfig(fq.default_fused_act_fake_quant, fq.default_fused_wt_fake_quant)
default_reuse_input_qconfig = QConfig(ob.default_reuse_input_observer, ob.NoopObserver)
_signed = {"dtype": dtypes.qint8, "reduce_range": False, "eps": 2**-12}
_signed_histogram = ob.HistogramObserver.with_args(**_signed)
_signed_fused = fq.FusedMovingAvgObsFakeQuantize.with_args(
    observer=ob.MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, **_signed
)
default_symmetric_qnnpack_qconfig = QConfig(_signed_histogram, ob.weight_observer_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qconfig = QConfig(
    _signed_histogram, ob.per_channel_weight_observer_range_neg_127_to_127
)
default_symmetric_qnnpack_qat_qconfig = QConfig(_signed_fused, fq.fused_wt_fake_quant_range_neg_127_to_127)
default_per_channel_symmetric_qnnpack_qat_qconfig = QConfig(
    _signed_fused, fq.fused_per_channel_wt_fake_quant_range_neg_127_to_127
)
_nothing = ob.NoopObserver.with_args(dtype=dtypes.float32)
default_embedding_qat_qconfig = QConfig(_nothing, fq.default_embedding_fake_quant)
default_embedding_qat_qconfig_4bit = QConfig(_nothing, fq.default_embedding_fake_quant_4bit)
default_quint8_weight_qconfig = QConfig(ob.HistogramObserver, ob.MinMaxObserver)


def _check(function: str, backend: str, version: int, versions: tuple) -> None:
    if backend not in _BACKENDS:
        raise AssertionError(f"backend: {backend} not supported. backend must be one of {list(_BACKENDS)}")
    if version not in versions:
        known = " or ".join(map(str, versions))
        raise AssertionError(
            f"Version number: {version} in {function} is not supported. Version number must be {known}"
        )


def _ranges(backend: str) -> dict:
    """Whether a backend's kernels need one bit left out; onednn's say nothing of it when training."""
    return {"reduce_range": backend in ("fbgemm", "x86")}


def get_default_qconfig(backend: str = "x86", version: int = 0) -> QConfig:
    """How a trained model is observed for a backend.

    Args:
        backend: ``"x86"``, ``"fbgemm"``, ``"qnnpack"`` or ``"onednn"``.
        version: 0.

    Raises:
        AssertionError: another backend or version.
    """
    _check("get_default_qconfig", backend, version, (0,))
    whole = backend == "qnnpack"
    weight = ob.default_weight_observer if whole else ob.default_per_channel_weight_observer
    return QConfig(ob.HistogramObserver.with_args(**_ranges(backend)), weight)


def get_default_qat_qconfig(backend: str = "x86", version: int = 1) -> QConfig:
    """How a model is trained for a backend.

    Args:
        backend: ``"x86"``, ``"fbgemm"``, ``"qnnpack"`` or ``"onednn"``.
        version: 1, the fused operator; 0, an observer and then rounding.

    Raises:
        AssertionError: another backend or version.
    """
    _check("get_default_qat_qconfig", backend, version, (0, 1))
    rounds = fq.FusedMovingAvgObsFakeQuantize if version else fq.FakeQuantize
    ranges = {} if backend == "onednn" else _ranges(backend)
    activation = rounds.with_args(observer=ob.MovingAverageMinMaxObserver, quant_min=0, quant_max=255, **ranges)
    whole = fq.default_fused_wt_fake_quant if version else fq.default_weight_fake_quant
    by_channel = fq.default_fused_per_channel_wt_fake_quant if version else fq.default_per_channel_weight_fake_quant
    return QConfig(activation, whole if backend == "qnnpack" else by_channel)


def _assert_valid_qconfig(qconfig: Any, mod: Module) -> None:
    """A transposed convolution has no weight by channel."""
    if qconfig is None or qconfig.weight is None:
        return
    if isinstance(mod, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) and isinstance(
        qconfig.weight(), ob.PerChannelMinMaxObserver
    ):
        raise AssertionError("Per channel weight observer is not supported yet for ConvTranspose{n}d.")


class _DeviceOf:
    """Where a module's tensors are, as options for an observer; no function, so that models can be pickled."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def __call__(self) -> dict | None:
        device = next((t.device for t in (*self.module.parameters(), *self.module.buffers())), None)
        return None if device is None else {"device": device}

    def __repr__(self) -> str:
        return f"<device of {type(self.module).__name__}>"


def _add_module_to_qconfig_obs_ctr(qconfig: Any, module: Module | None) -> Any:
    """The same, with observers on the module's device."""
    if module is None or qconfig is None or qconfig._fields != ("activation", "weight"):
        return qconfig

    where_it_is = _DeviceOf(module)

    def placed(constructor: Any) -> Any:
        try:
            constructor.with_args(factory_kwargs=None)()
            return constructor.with_callable_args(factory_kwargs=where_it_is)
        except (AttributeError, TypeError):  # no observer, or one that takes no device
            return constructor

    return QConfig(placed(qconfig.activation), placed(qconfig.weight))


def _same(one: Any, other: Any) -> bool:
    if not (isinstance(one, _PartialWrapper) and isinstance(other, _PartialWrapper)):
        return one == other
    first, second = dict(one.p.keywords), dict(other.p.keywords)
    watchers = first.pop("observer", None), second.pop("observer", None)
    return one.p.func == other.p.func and one.p.args == other.p.args and first == second and _same(*watchers)


def qconfig_equals(q1: Any, q2: Any) -> bool:
    """Whether two say the same; constructors count as the same where their arguments are."""
    if q1 is None or q2 is None:
        return q1 is q2
    return _same(q1.activation, q2.activation) and _same(q1.weight, q2.weight)


def _activation_is_memoryless(qconfig: Any) -> bool:
    """Whether the range is that of each input alone."""
    watcher = qconfig.activation()
    watcher = getattr(watcher, "activation_post_process", watcher)
    return getattr(watcher, "averaging_constant", None) == 1


__all__ = [
    "QConfig", "default_activation_only_qconfig", "default_debug_qconfig", "default_dynamic_qat_qconfig",
    "default_dynamic_qconfig", "default_embedding_qat_qconfig", "default_embedding_qat_qconfig_4bit",
    "default_per_channel_qconfig", "default_per_channel_symmetric_qnnpack_qat_qconfig",
    "default_per_channel_symmetric_qnnpack_qconfig", "default_qat_qconfig", "default_qat_qconfig_v2",
    "default_qconfig", "default_quint8_weight_qconfig", "default_reuse_input_qconfig",
    "default_symmetric_qnnpack_qat_qconfig", "default_symmetric_qnnpack_qconfig", "default_weight_only_qconfig",
    "float16_dynamic_qconfig", "float16_static_qconfig", "float_qparams_weight_only_qconfig",
    "float_qparams_weight_only_qconfig_4bit", "get_default_qat_qconfig", "get_default_qconfig",
    "per_channel_dynamic_qconfig", "qconfig_equals",
]  # fmt: skip
