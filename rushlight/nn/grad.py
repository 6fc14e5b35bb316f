"""Owns ``nn.grad``: the derivatives of convolutions as functions of their own.

May import the operators and autograd.
"""

from __future__ import annotations

from typing import Any

from ..autograd import grad
from ..autograd.grad_mode import enable_grad
from ..ops import nn_conv
from ..ops.creation import zeros


def _derivative(nd: int, wanted: str):
    convolve = getattr(nn_conv, f"conv{nd}d")

    def derivative(given, size, grad_output, stride, padding, dilation, groups):
        # A convolution is linear in each: its derivative there is the same at zero.
        with enable_grad():
            start = zeros(tuple(size), dtype=grad_output.dtype, device=grad_output.device).requires_grad_()
            pair = (start, given) if wanted == "input" else (given, start)
            out = convolve(*pair, None, stride, padding, dilation, groups)
            further = grad_output.requires_grad or given.requires_grad
            return grad([out], [start], [grad_output], create_graph=further)[0]

    def of_input(input_size: Any, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
        return derivative(weight, input_size, grad_output, stride, padding, dilation, groups)

    def of_weight(input, weight_size: Any, grad_output, stride=1, padding=0, dilation=1, groups=1):
        return derivative(input, weight_size, grad_output, stride, padding, dilation, groups)

    of: Any = of_input if wanted == "input" else of_weight
    of.__name__ = of.__qualname__ = f"conv{nd}d_{wanted}"
    of.__doc__ = f"""The gradient of ``conv{nd}d`` at its {wanted}, from that at its result.

    Args:
        {wanted}_size: the shape of the {wanted}.
        grad_output: the gradient at the result.
        stride, padding, dilation, groups: as in the convolution.

    Raises:
        RuntimeError: the shapes do not fit.
    """
    return of


conv1d_input, conv1d_weight = _derivative(1, "input"), _derivative(1, "weight")
conv2d_input, conv2d_weight = _derivative(2, "input"), _derivative(2, "weight")
conv3d_input, conv3d_weight = _derivative(3, "input"), _derivative(3, "weight")

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]
