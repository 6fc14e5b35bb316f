"""Owns which modules take a ``qconfig``, and what they become when a model is prepared for training.

May import nn, its fused containers and their forms for training.
"""

from __future__ import annotations

from typing import Any

from ... import nn
from ...nn.modules.linear import NonDynamicallyQuantizableLinear
from ...nn.utils.parametrize import type_before_parametrizations
from ..nn import intrinsic as nni
from ..nn import qat as nnqat
from ..nn import quantizable
from ..nn.intrinsic import qat as nniqat
from ..nn.qat import dynamic as nnqatd
from ..nn.quantized import FloatFunctional
from .fake_quantize import (
    default_fixed_qparams_range_0to1_fake_quant,
    default_fixed_qparams_range_neg1to1_fake_quant,
)
from .stubs import DeQuantStub, QuantStub

_FUSED = (
    "ConvBn1d", "ConvBn2d", "ConvBn3d", "ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d", "ConvReLU2d", "ConvReLU3d",
    "LinearReLU", "LinearBn1d",
)  # fmt: skip
DEFAULT_QAT_MODULE_MAPPINGS: dict[Any, Any] = {
    nn.Conv2d: nnqat.Conv2d,
    nn.Conv3d: nnqat.Conv3d,
    nn.Linear: nnqat.Linear,
    NonDynamicallyQuantizableLinear: nnqat.Linear,
    **{getattr(nni, name): getattr(nniqat, name) for name in _FUSED},
}
DEFAULT_MODULE_TO_ACT_POST_PROCESS: dict[Any, Any] = {
    **dict.fromkeys((nn.Hardsigmoid, nn.Sigmoid, nn.Softmax), default_fixed_qparams_range_0to1_fake_quant),
    nn.Tanh: default_fixed_qparams_range_neg1to1_fake_quant,
}
_WITH_QCONFIG = frozenset(
    {
        QuantStub, DeQuantStub, FloatFunctional, NonDynamicallyQuantizableLinear, nnqatd.Linear,
        *(getattr(nn, name) for name in (
            "BatchNorm2d", "BatchNorm3d", "Dropout", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d",
            "ConvTranspose2d", "ConvTranspose3d", "ELU", "Embedding", "EmbeddingBag", "GroupNorm", "Hardswish",
            "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm", "LeakyReLU", "Linear", "ReLU6", "PReLU",
            "GRUCell", "LSTM", "GRU", "LSTMCell", "RNNCell", "Sequential",
        )),
        *(getattr(nni, name) for name in (
            "BNReLU2d", "BNReLU3d", "ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "ConvAdd2d", "ConvAddReLU2d",
            "LinearLeakyReLU", "LinearTanh", *_FUSED,
        )),
        *(getattr(nniqat, name) for name in _FUSED),
        nnqat.Linear, nnqat.Conv2d, nnqat.Conv3d,
    }
)  # fmt: skip


def no_observer_set() -> set:
    """Modules that are prepared piece by piece, so that nothing watches the whole."""
    return {quantizable.LSTM, quantizable.MultiheadAttention}


def get_default_qat_module_mappings() -> dict:
    """What each module becomes when a model is prepared for training."""
    return dict(DEFAULT_QAT_MODULE_MAPPINGS)


def get_embedding_qat_module_mappings() -> dict:
    """The same, with embeddings."""
    return {**DEFAULT_QAT_MODULE_MAPPINGS, nn.EmbeddingBag: nnqat.EmbeddingBag, nn.Embedding: nnqat.Embedding}


def get_default_qconfig_propagation_list() -> set:
    """The modules whose results are watched where they have a ``qconfig``."""
    return set(_WITH_QCONFIG)


def _special_post_process(module: Any) -> Any:
    """What rounds the results of a module whose range is known beforehand, while training."""
    if not module.training:
        return None
    return DEFAULT_MODULE_TO_ACT_POST_PROCESS.get(type_before_parametrizations(module))


__all__ = [
    "DEFAULT_MODULE_TO_ACT_POST_PROCESS", "DEFAULT_QAT_MODULE_MAPPINGS", "get_default_qat_module_mappings",
    "get_default_qconfig_propagation_list", "get_embedding_qat_module_mappings", "no_observer_set",
]  # fmt: skip
