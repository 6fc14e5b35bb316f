"""Owns normalisation: batch, layer, group, instance, root-mean-square and local response.

May import the door, nn_common and jax. Standardising has a tangent rule of its own, whose transpose needs two
reductions where automatic differentiation needs five; it stands for torch's closed-form backward.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import dtypes
from .._graph.modes import state
from ._op import Array, Number, op
from .nn_common import need_float, widen


def _moments(x, axes):
    """Mean, centred values and biased variance, with reduced axes kept."""
    mean = x.mean(axes, keepdims=True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(axes, keepdims=True)


def _standard(x, axes, eps):
    _, centred, var = _moments(x, axes)
    scale = lax.rsqrt(var + eps)
    return centred * scale, scale


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def standardise(x, axes, eps):
    """``(x - mean) / sqrt(var + eps)`` over ``axes``."""
    return _standard(x, axes, eps)[0]


@standardise.defjvp
def _standardise_jvp(axes, eps, primals, tangents):
    normal, scale = _standard(primals[0], axes, eps)
    t = tangents[0]
    inner = t - t.mean(axes, keepdims=True) - normal * (t * normal).mean(axes, keepdims=True)
    return normal, scale * inner


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _batch_standardise(x, weight, bias, axes, eps):
    normal, _ = _standard(x, axes, eps)
    return normal * weight + bias


@_batch_standardise.defjvp
def _batch_standardise_jvp(axes, eps, primals, tangents):
    x, weight, bias = primals
    t, t_weight, t_bias = tangents
    normal, scale = _standard(x, axes, eps)
    gain = weight * scale
    # Grouped so that the transpose sums the cotangent, and its product with ``normal``, once each for everything.
    shift = t_bias - gain * t.mean(axes, keepdims=True)
    slope = t_weight - gain * (t * normal).mean(axes, keepdims=True)
    return normal * weight + bias, gain * t + (shift + normal * slope)


def _group_mean(x, groups):
    """The mean of each group of channels, spread to ``(N, C, 1, ...)``: by channel first, which keeps any layout."""
    mean = x.mean(tuple(range(2, x.ndim)), keepdims=True)
    grouped = mean.reshape(x.shape[0], groups, x.shape[1] // groups)
    return jnp.broadcast_to(grouped.mean(2, keepdims=True), grouped.shape).reshape(mean.shape)


def _group_standard(x, groups, eps):
    centred = x - _group_mean(x, groups)
    scale = lax.rsqrt(_group_mean(centred * centred, groups) + eps)
    return centred * scale, scale


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _group_standardise(x, weight, bias, groups, eps):
    return _group_standard(x, groups, eps)[0] * weight + bias


@_group_standardise.defjvp
def _group_standardise_jvp(groups, eps, primals, tangents):
    x, weight, bias = primals
    t, t_weight, t_bias = tangents
    normal, scale = _group_standard(x, groups, eps)
    gain = weight * scale
    shift = t_bias - gain * _group_mean(t, groups)
    slope = t_weight - gain * _group_mean(t * normal, groups)
    return normal * weight + bias, gain * t + (shift + normal * slope)


def _channels(vector, ndim) -> Any:
    wide: Any = widen(vector)
    return None if wide is None else wide.reshape((1, -1) + (1,) * (ndim - 2))


def _check_channels(input, **vectors):
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for batch_norm input, but got size {list(input.shape)}")
    for name, vector in vectors.items():
        if vector is not None and vector.size != input.shape[1]:
            raise RuntimeError(f"{name} should contain {input.shape[1]} elements not {vector.size}")


def _blend(old, new, momentum):
    return lax.stop_gradient((momentum * new.astype(old.dtype) + (1 - momentum) * old).astype(old.dtype))


@op(name="native_batch_norm", method=False)
def _batch_norm_train(
    input: Array, weight: Array | None, bias: Array | None, mean: Array | None, var: Array | None,
    count: Array | None, momentum: Number | None, eps,
):  # fmt: skip
    """The normalised input and, where there are running statistics and a count of batches, what they become."""
    _check_channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)
    need_float(input, "batch_norm")
    if input.shape[0] * math.prod(input.shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {dtypes.Size(input.shape)!r}"
        )
    axes = (0, *range(2, input.ndim))
    x = widen(input)
    # Without an affine part these are constants, which XLA folds away.
    ones = jnp.ones((1, input.shape[1]) + (1,) * (input.ndim - 2), x.dtype)
    gain = ones if weight is None else _channels(weight, input.ndim).astype(x.dtype)
    shift = ones * 0 if bias is None else _channels(bias, input.ndim).astype(x.dtype)
    out = _batch_standardise(x, gain, shift, axes, eps).astype(input.dtype)
    if mean is None and var is None and count is None:
        return out
    results = [out]
    share: Any = momentum
    if share is None:  # the average over all batches
        share = 0.0 if count is None else 1.0 / (count + 1)
    now, _, spread = _moments(lax.stop_gradient(x), axes)
    values = input.shape[0] * math.prod(input.shape[2:])
    # An empty batch tells nothing: the statistics stay.
    if mean is not None:
        results.append(_blend(mean, now.reshape(-1), share) if values else mean)
    if var is not None:
        results.append(_blend(var, (spread * (values / (values - 1))).reshape(-1), share) if values else var)
    if count is not None:
        results.append(count + 1)
    return tuple(results)


@op(name="native_batch_norm_eval", method=False)
def _batch_norm_eval(input: Array, weight: Array | None, bias: Array | None, mean: Array, var: Array, eps):
    _check_channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)
    need_float(input, "batch_norm")
    gain = lax.rsqrt(_channels(var, input.ndim) + eps)
    if weight is not None:
        gain = gain * _channels(weight, input.ndim)
    shift = -_channels(mean, input.ndim) * gain
    if bias is not None:
        shift = shift + _channels(bias, input.ndim)
    return (widen(input) * gain + shift).astype(input.dtype)


def batch_norm_with(input, weight, bias, running_mean, running_var, training, momentum, eps, count=None):
    """Batch normalisation; while training, the running statistics are updated in place and nothing of that is recorded.

    Args:
        momentum: the share of the batch in the running statistics; None averages over the batches counted.
        count: the batches so far; one more is added while training.

    Raises:
        RuntimeError: statistics or weights do not fit the channels, or are missing outside training.
        ValueError: one value per channel while training, or a negative ``eps``.
    """
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        if value is None:
            if not training:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        elif value._requires_grad and state.grad:
            raise RuntimeError(
                f"The function 'native_batch_norm' is not differentiable with respect to argument '{name}'. This input "
                "cannot have requires_grad True."
            )
    if eps < 0 or (training and eps == 0):
        kind = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {kind}, but got {eps}")
    if input.dim() < 2 and input.numel() == 0:
        return input.clone()
    if not training:
        return _batch_norm_eval(input, weight, bias, running_mean, running_var, eps)
    result = _batch_norm_train(input, weight, bias, running_mean, running_var, count, momentum, eps)
    if type(result) is not tuple:
        return result
    updated = iter(result[1:])
    for held in (running_mean, running_var, count):
        if held is not None:
            held._write(next(updated)._array())
    return result[0]


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True):
    """Batch normalisation with the argument order of ``torch.batch_norm``; see ``nn.functional.batch_norm``."""
    return batch_norm_with(input, weight, bias, running_mean, running_var, training, momentum, eps)


def _check_normalized(input, shape, weight, bias, star):
    n = len(shape)
    if n < 1:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(vector.shape)} and normalized_shape = {list(shape)}"
            )
    if input.shape[-n:] != shape:
        wanted = ", ".join(map(str, shape))
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{star}{wanted}], but got input of size"
            f"{list(input.shape)}"
        )
    return tuple(range(input.ndim - n, input.ndim))


@op(name="native_layer_norm", method=False)
def _layer_norm(input: Array, shape, weight: Array | None, bias: Array | None, eps):
    axes = _check_normalized(input, shape, weight, bias, ", ")
    need_float(input, "LayerNormKernelImpl")
    out = standardise(widen(input), axes, eps)
    if weight is not None:
        out = out * widen(weight)
    if bias is not None:
        out = out + widen(bias)
    return out.astype(input.dtype)


def _tuple(shape):
    return (shape,) if isinstance(shape, int) else tuple(shape)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """Standardise over the last dimensions, then scale and shift elementwise (Ba et al. 2016).

    Shape:
        input ``(*, *normalized_shape)``; weight and bias ``normalized_shape``.

    Raises:
        RuntimeError: the shapes do not fit.
    """
    return _layer_norm(input, _tuple(normalized_shape), weight, bias, eps)


@op(name="rms_norm", method=False)
def _rms_norm(input: Array, shape, weight: Array | None, eps):
    axes = _check_normalized(input, shape, weight, None, "")
    wide = widen(input)
    if not jnp.iscomplexobj(input):
        need_float(input, "rms_norm")
    eps = float(jnp.finfo(wide.dtype).eps) if eps is None else eps
    out = wide * lax.rsqrt((wide * wide).mean(axes, keepdims=True) + eps)
    if weight is not None:
        out = out * widen(weight)
    return out.astype(input.dtype)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Divide by the root mean square of the last dimensions, then scale (Zhang & Sennrich 2019).

    Args:
        eps: added to the mean square; default: the machine epsilon of the dtype.

    Raises:
        RuntimeError: the shapes do not fit.
    """
    return _rms_norm(input, _tuple(normalized_shape), weight, eps)


@op(name="native_group_norm", method=False)
def _group_norm(input: Array, groups, weight: Array | None, bias: Array | None, eps):
    shape = list(input.shape)
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    if groups < 1:
        raise ZeroDivisionError("integer division or modulo by zero")
    if shape[1] % groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {shape} and "
            f"num_groups={groups}"
        )
    if shape[0] * shape[1] // groups * math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
    for name, vector in (("weight", weight), ("bias", bias)):
        if vector is not None and vector.shape != (shape[1],):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list(vector.shape)} and input of shape {shape}"
            )
    need_float(input, "GroupNormKernelImpl")
    x = widen(input)
    # Without an affine part these are constants, which XLA folds away.
    ones = jnp.ones((1, shape[1]) + (1,) * (input.ndim - 2), x.dtype)
    gain = ones if weight is None else _channels(weight, input.ndim).astype(x.dtype)
    shift = ones * 0 if bias is None else _channels(bias, input.ndim).astype(x.dtype)
    if not x.size:
        return (x * gain + shift).astype(input.dtype)
    return _group_standardise(x, gain, shift, groups, eps).astype(input.dtype)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    """Standardise each group of channels of each sample, then scale and shift by channel (Wu & He 2018).

    Shape:
        input ``(N, C, *)`` with ``C`` divisible by ``num_groups``; weight and bias ``(C,)``.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return _group_norm(input, num_groups, weight, bias, eps)


@op(name="instance_norm", method=False)
def _instance_norm(
    input: Array, weight: Array | None, bias: Array | None, mean: Array | None, var: Array | None, momentum: Number, eps
):
    """Normalise by each sample's own statistics; gives those of the running averages too, where there are any."""
    _check_channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)
    axes = tuple(range(2, input.ndim))
    x = widen(input)
    out = standardise(x, axes, eps)
    if weight is not None:
        out = out * _channels(weight, input.ndim)
    if bias is not None:
        out = out + _channels(bias, input.ndim)
    out = out.astype(input.dtype)
    if mean is None or var is None:
        return out
    now, _, spread = _moments(lax.stop_gradient(x), axes)
    count = math.prod(input.shape[2:])
    spread = spread * (count / (count - 1))
    return (
        out,
        _blend(mean, now.reshape(input.shape[:2]).mean(0), momentum),
        _blend(var, spread.reshape(input.shape[:2]).mean(0), momentum),
    )


def instance_norm_with(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps):
    """Instance normalisation; updates running statistics in place where they are given and the input's are used.

    Raises:
        ValueError: one spatial element, whose variance is 0.
        RuntimeError: no statistics to use.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return _batch_norm_eval(input, weight, bias, running_mean, running_var, eps)
    shape = input._array().shape
    if math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {dtypes.Size(shape)!r}")
    result = _instance_norm(input, weight, bias, running_mean, running_var, momentum, eps)
    if type(result) is not tuple:
        return result
    running_mean._write(result[1]._array())
    running_var._write(result[2]._array())
    return result[0]


def instance_norm(
    input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True
):  # fmt: skip
    """Instance normalisation with the argument order of ``torch.instance_norm``."""
    return instance_norm_with(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@op(method=False)
def local_response_norm(input: Array, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide by a power of the mean square over ``size`` neighbouring channels (Krizhevsky et al. 2012)."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality                          input (got {input.ndim} dimensions)"
        )
    if not input.size:
        return input
    squares = input * input
    width = [(0, 0)] * input.ndim
    width[1] = (size // 2, (size - 1) // 2)
    padded = jnp.pad(squares, width)
    total = sum(lax.slice_in_dim(padded, i, i + input.shape[1], axis=1) for i in range(size))
    if jnp.issubdtype(input.dtype, jnp.integer):
        # The mean of integers is an integer; what follows has the default dtype.
        kind = dtypes.default_dtype().np
        return input.astype(kind) / ((total // size).astype(kind) * alpha + k) ** beta
    return input / (total / size * alpha + k) ** beta


@op(method=False)
def cross_map_lrn2d(input: Array, size, alpha=1e-4, beta=0.75, k=1.0):
    """Local response normalisation as Lua Torch summed it: the first channel never leaves a window it has entered.

    Raises:
        ValueError: not four dimensions.
    """
    if input.ndim != 4:
        raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
    channels = input.shape[1]
    reach = int((size - 1) / 2 + 1)
    centre, other = np.arange(channels)[:, None], np.arange(channels)[None]
    window = (other < centre + reach) & ((other > centre - reach) | (other == 0))
    sums = jnp.einsum("oc,nchw->nohw", jnp.asarray(window, input.dtype), input * input)
    return input * (sums * (alpha / size) + k) ** -beta


__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]
