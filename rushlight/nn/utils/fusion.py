"""Owns the folding of batch normalisation into the convolution or linear map before it, for evaluation.

May import Parameter and the operators.
"""

from __future__ import annotations

import copy
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops.creation import ones_like, zeros_like
from ..parameter import Parameter


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _for_evaluation(layer: Any, bn: Any) -> Any:
    """A copy of the layer to fold into.

    Raises:
        AssertionError: one of the two is in training mode.
    """
    _require(not (layer.training or bn.training), "Fusion only for eval!")
    return copy.deepcopy(layer)


def _need_statistics(bn: Any) -> None:
    _require(
        bn.running_mean is not None and bn.running_var is not None,
        "bn.running_mean and bn.running_var must not be None",
    )


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of a convolution that does what it and the normalisation after it do.

    Args:
        conv, bn: modules in evaluation mode.
        transpose: the convolution is a transposed one.

    Raises:
        AssertionError: training mode, or no running statistics.

    Example:
        >>> from rushlight import nn
        >>> fuse_conv_bn_eval(nn.Conv2d(1, 2, 3, bias=False).eval(), nn.BatchNorm2d(2).eval()).bias.shape
        torch.Size([2])
    """
    fused = _for_evaluation(conv, bn)
    _need_statistics(bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """The weight and bias of a convolution with a normalisation folded in."""
    kind = conv_w.dtype if conv_b is None else conv_b.dtype
    start = zeros_like(bn_rm) if conv_b is None else conv_b
    bn_w = ones_like(bn_rm) if bn_w is None else bn_w
    bn_b = zeros_like(bn_rm) if bn_b is None else bn_b
    scale = (bn_rv + bn_eps).rsqrt()
    shape = [1, -1] if transpose else [-1, 1]
    weight = (conv_w * (bn_w * scale).reshape(shape + [1] * (conv_w.dim() - 2))).to(conv_w.dtype)
    bias = ((start - bn_rm) * scale * bn_w + bn_b).to(kind)
    return Parameter(weight, conv_w.requires_grad), Parameter(bias, start.requires_grad)


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of a linear layer that does what it and the normalisation after it do.

    Raises:
        AssertionError: training mode, no running statistics, or other features than the layer gives.
    """
    fused = _for_evaluation(linear, bn)
    _require(
        linear.out_features == bn.num_features or bn.num_features == 1,
        "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got linear.out_features="
        f"{linear.out_features} and bn.num_features={bn.num_features}",
    )
    _need_statistics(bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Any, Any]:  # fmt: skip
    """The weight and bias of a linear layer with a normalisation folded in."""
    kind = linear_w.dtype if linear_b is None else linear_b.dtype
    start = zeros_like(bn_rm) if linear_b is None else linear_b
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    weight = linear_w * scale.unsqueeze(-1).to(linear_w.dtype)
    bias = ((start - bn_rm) * scale + bn_b).to(kind)
    return Parameter(weight, linear_w.requires_grad), Parameter(bias, start.requires_grad)


__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]
