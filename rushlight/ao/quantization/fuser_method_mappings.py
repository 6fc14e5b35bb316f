"""Owns what modules that follow each other are fused into.

May import nn and its fused containers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import nn
from ...nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval
from ..nn import intrinsic as nni

# By the convolution's type: the containers with batch normalisation, with that and ReLU, and with ReLU alone.
_CONV = {
    nn.Conv1d: (nni.ConvBn1d, nni.ConvBnReLU1d, nni.ConvReLU1d),
    nn.Conv2d: (nni.ConvBn2d, nni.ConvBnReLU2d, nni.ConvReLU2d),
    nn.Conv3d: (nni.ConvBn3d, nni.ConvBnReLU3d, nni.ConvReLU3d),
}


def _check(is_qat: bool, layer: Any, bn: Any, *rest: Any) -> None:
    """Refuse what cannot be fused; the words are torch's."""
    linear = isinstance(layer, nn.Linear)
    what, kind = ("Linear", "BatchNorm1d") if linear else ("Conv", "BatchNorm2d")
    if any(m.training != layer.training for m in (bn, *rest)):
        raise AssertionError(f"{what} and BN both must be in the same mode (train or eval).")
    if not is_qat:
        return
    size = "Output features of Linear" if linear else "Output channel of Conv2d"
    if bn.num_features != (layer.out_features if linear else layer.out_channels):
        raise AssertionError(f"{size} must match num_features of {kind}.")
    if not bn.affine:
        raise AssertionError(f"Only support fusing {kind} with affine set to True")
    if not bn.track_running_stats:
        raise AssertionError(f"Only support fusing {kind} with tracking_running_stats set to True")


def _containers(mode: str, conv: Any, *rest: Any) -> tuple:
    found = _CONV.get(type(conv))
    if found is None:
        raise NotImplementedError(f"Cannot fuse {mode} modules: {(conv, *rest)}")
    return found


def fuse_conv_bn(is_qat: bool, conv: Any, bn: Any) -> Any:
    """A convolution and batch normalisation: as a container to train, else as one convolution.

    Args:
        is_qat: whether it will be trained.
        conv, bn: the modules.

    Raises:
        AssertionError: they do not fit each other.
        NotImplementedError: no container has such a convolution.
    """
    _check(is_qat, conv, bn)
    return _containers("train", conv, bn)[0](conv, bn) if is_qat else fuse_conv_bn_eval(conv, bn)


def fuse_conv_bn_relu(is_qat: bool, conv: Any, bn: Any, relu: Any) -> Any:
    """A convolution, batch normalisation and ReLU: as one container; otherwise as ``fuse_conv_bn``."""
    _check(is_qat, conv, bn, relu)
    _, with_both, with_relu = _containers("train" if is_qat else "eval", conv, bn, relu)
    return with_both(conv, bn, relu) if is_qat else with_relu(fuse_conv_bn_eval(conv, bn), relu)


def fuse_linear_bn(is_qat: bool, linear: Any, bn: Any) -> Any:
    """A linear map and batch normalisation; otherwise as ``fuse_conv_bn``."""
    _check(is_qat, linear, bn)
    return nni.LinearBn1d(linear, bn) if is_qat else fuse_linear_bn_eval(linear, bn)


def fuse_convtranspose_bn(is_qat: bool, convt: Any, bn: Any) -> Any:
    """A transposed convolution and batch normalisation, as one transposed convolution.

    Raises:
        NotImplementedError: for training.
    """
    _check(False, convt, bn)
    if is_qat:
        raise NotImplementedError("Fusing ConvTranspose+BatchNorm not yet supported in QAT.")
    return fuse_conv_bn_eval(convt, bn, transpose=True)


def _contained(container: Callable) -> Callable:
    return lambda is_qat, *modules: container(*modules)


_FUSERS: dict[tuple, Callable] = {
    (nn.Linear, nn.BatchNorm1d): fuse_linear_bn,
    (nn.Linear, nn.ReLU): _contained(nni.LinearReLU),
    (nn.BatchNorm2d, nn.ReLU): _contained(nni.BNReLU2d),
    (nn.BatchNorm3d, nn.ReLU): _contained(nni.BNReLU3d),
}
for _conv, _transposed, _bn in (
    (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d),
    (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d),
    (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d),
):
    _FUSERS[_conv, _bn] = fuse_conv_bn
    _FUSERS[_conv, _bn, nn.ReLU] = fuse_conv_bn_relu
    _FUSERS[_conv, nn.ReLU] = _contained(_CONV[_conv][2])
    _FUSERS[_transposed, _bn] = fuse_convtranspose_bn


def get_fuser_method(op_list: tuple, additional_fuser_method_mapping: dict | None = None) -> Callable:
    """The function that fuses modules of these types.

    Args:
        op_list: the types, in order.
        additional_fuser_method_mapping: more functions by types; they go first.

    Raises:
        AssertionError: there is none.
    """
    found = {**_FUSERS, **(additional_fuser_method_mapping or {})}.get(op_list)
    if found is None:
        raise AssertionError(f"did not find fuser method for: {op_list} ")
    return found


__all__ = ["fuse_conv_bn", "fuse_conv_bn_relu", "fuse_convtranspose_bn", "fuse_linear_bn", "get_fuser_method"]
