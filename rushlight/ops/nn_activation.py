"""Owns the activation functions: each a formula whose derivative at the kinks is torch's.

May import the door, nn_common and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from ._op import Array, Number, in_place_form, op
from .nn_common import concrete, elementwise, need_float, widen
from .shape import wrap_dim

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@op(inplace=True)
def relu(input: Array):
    """``max(input, 0)``; NaN stays NaN."""
    if input.dtype == bool:
        raise RuntimeError("Boolean inputs not supported for relu")
    return jnp.where(input <= 0, jnp.zeros((), input.dtype), input)


def _clamped(input, low, high):
    # Spelled with where, so that the derivative at the bounds is 0, as in torch.
    low, high = jnp.asarray(low, input.dtype), jnp.asarray(high, input.dtype)
    return jnp.where(input <= low, low, jnp.where(input >= high, high, input))


@op(method=False)
def relu6(input: Array):
    """``min(max(input, 0), 6)``."""
    if input.dtype == bool:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    return _clamped(input, 0, 6)


@op(method=False)
def hardtanh(input: Array, min_val=-1.0, max_val=1.0):
    """``input`` limited to ``[min_val, max_val]``."""
    if input.dtype == bool:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    return _clamped(input, min_val, max_val)


@op(method=False)
@elementwise("leaky_relu_cpu")
def leaky_relu(input: Array, negative_slope: Number = 0.01):
    """``input`` where positive, else ``negative_slope * input``."""
    return jnp.where(input > 0, input, input * negative_slope)


def _elu(input, alpha, scale, input_scale):
    # The exponential only sees what is negative: it cannot overflow, and 0 * inf never reaches the derivative.
    negative = jnp.where(input > 0, 0, input)
    return jnp.where(input > 0, input * scale, jnp.expm1(negative * input_scale) * (alpha * scale))


@op(method=False)
@elementwise("elu_cpu")
def elu(input: Array, alpha=1.0, scale=1.0, input_scale=1.0):
    """``input`` where positive, else ``alpha * (exp(input) - 1)``."""
    return _elu(input, alpha, scale, input_scale)


@op(method=False)
@elementwise("elu_cpu")
def selu(input: Array):
    """The self-normalising ELU (Klambauer et al. 2017)."""
    return _elu(input, _SELU_ALPHA, _SELU_SCALE, 1.0)


@op(method=False)
@elementwise("elu_cpu")
def celu(input: Array, alpha=1.0):
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron 2017)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _elu(input, alpha, 1.0, 1.0 / alpha)


@op(method=False)
@elementwise("GeluKernelImpl")
def gelu(input: Array, *, approximate="none"):
    """``x * Phi(x)``, or its tanh approximation (Hendrycks & Gimpel 2016)."""
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
        return 0.5 * input * (1 + jnp.tanh(inner))
    if approximate != "none":
        raise RuntimeError("approximate argument must be either none or tanh.")
    return input * 0.5 * (1 + jax.lax.erf(input * math.sqrt(0.5)))


@op(method=False)
@elementwise()
def silu(input: Array):
    """``x * sigmoid(x)``."""
    if jnp.iscomplexobj(input):
        return input / (1 + jnp.exp(-input))
    need_float(input, "silu_cpu")
    return input * jax.nn.sigmoid(input)


@op(method=False)
@elementwise("mish_cpu")
def mish(input: Array):
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    return input * jnp.tanh(jnp.logaddexp(input, 0))


@op(method=False)
@elementwise("hardswish_cpu")
def hardswish(input: Array):
    """``x * relu6(x + 3) / 6``."""
    return jnp.where(input <= -3, input * 0, jnp.where(input >= 3, input, input * (input + 3) / 6))


@op(method=False)
@elementwise("hardsigmoid_cpu")
def hardsigmoid(input: Array):
    """``relu6(x + 3) / 6``."""
    return _clamped(input + 3, 0, 6) / 6


@op(method=False)
@elementwise("softplus_cpu")
def softplus(input: Array, beta=1.0, threshold=20.0):
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x > threshold``."""
    scaled = input * beta
    large = scaled > threshold
    return jnp.where(large, input, jnp.log1p(jnp.exp(jnp.where(large, 0, scaled))) / beta)


@op(method=False)
@elementwise("log_sigmoid_cpu")
def logsigmoid(input: Array):
    """``log(sigmoid(x))``."""
    return -jnp.logaddexp(-input, 0)


@op(promote="float", method=False)
def softsign(input: Array):
    """``x / (1 + |x|)``."""
    return input / (1 + jnp.abs(input))


@op(promote="float", method=False)
def tanhshrink(input: Array):
    """``x - tanh(x)``."""
    wide = widen(input)
    return (wide - jnp.tanh(wide)).astype(input.dtype)


@op
@elementwise("hardshrink_cpu")
def hardshrink(input: Array, lambd=0.5):
    """``x`` where ``|x| > lambd``, else 0."""
    return jnp.where(jnp.abs(input) <= lambd, 0, input)


@op(method=False)
@elementwise("softshrink_check")
def softshrink(input: Array, lambd=0.5):
    """``x`` moved towards 0 by ``lambd``, no further."""
    if lambd < 0:
        raise RuntimeError(
            f"lambda must be in range [0, {float(jnp.finfo(input.dtype).max):.6g}] for input dtype Float, "
            f"but found {lambd:g}"
        )
    return jnp.where(input > lambd, input - lambd, jnp.where(input < -lambd, input + lambd, input * 0))


@op(method=False)
def threshold(input: Array, threshold, value):
    """``input`` where it is greater than ``threshold``, else ``value``."""
    return jnp.where(input <= threshold, jnp.asarray(value, input.dtype), input)


@op
def prelu(input: Array, weight: Array):
    """``input`` where positive, else ``weight * input``, with one weight or one per channel."""
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.size != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim >= 2 else 1
        if channels != weight.size:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.size} and channel size = {channels}."
            )
    if input.dtype != weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}; convert one of them."
        )
    shape = [-1 if i == 1 and weight.size != 1 else 1 for i in range(input.ndim)]
    return jnp.where(input > 0, input, weight.reshape(shape) * input)


@op(name="glu", method=False)
@elementwise("glu_cpu")
def _glu(input: Array, dim):
    first, second = jnp.split(input, 2, axis=dim)
    return first * jax.nn.sigmoid(second)


def glu(input, dim=-1):
    """The first half of a dimension times the sigmoid of the second.

    Raises:
        RuntimeError: the dimension is odd.
    """
    shape = input._array().shape
    if not shape:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    wrapped = wrap_dim(dim, len(shape))
    if shape[wrapped] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {wrapped} is size {shape[wrapped]}")
    return _glu(input, wrapped)


@op(name="rrelu_with_noise", method=False)
def _rrelu(input: Array, noise: Array):
    return jnp.where(input <= 0, input * noise, input)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """Leaky ReLU whose slope is drawn from ``[lower, upper]`` for every negative element while training.

    Raises:
        RuntimeError: ``lower > upper``.
    """
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    from .creation import empty, empty_like, from_numpy

    host = concrete(input)
    if host is None:
        return _rrelu(input, empty_like(input).uniform_(lower, upper))
    # torch draws a double for each element that is not positive, in order, and none for the others.
    negative = np.asarray(host <= 0)
    noise = np.ones(negative.shape)
    from ..dtypes import float64

    noise[negative] = empty(int(negative.sum()), dtype=float64).uniform_(lower, upper)._host()
    return _rrelu(input, from_numpy(noise).to(input.dtype))


relu_ = in_place_form(relu)
relu6_ = in_place_form(relu6)
hardtanh_ = in_place_form(hardtanh)
leaky_relu_ = in_place_form(leaky_relu)
elu_ = in_place_form(elu)
selu_ = in_place_form(selu)
celu_ = in_place_form(celu)
silu_ = in_place_form(silu)
mish_ = in_place_form(mish)
hardswish_ = in_place_form(hardswish)
hardsigmoid_ = in_place_form(hardsigmoid)
threshold_ = in_place_form(threshold)
rrelu_ = in_place_form(rrelu)

__all__ = [
    "celu", "celu_", "hardshrink", "prelu", "relu", "relu_", "rrelu", "rrelu_", "selu", "selu_", "threshold",
    "threshold_",
]  # fmt: skip
