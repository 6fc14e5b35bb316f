"""Owns the normalizations and samplers that torch offers under the names of its own operators (``native_layer_norm``).

May import the neural-network operators and the door.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from . import nn_norm, nn_resize
from ._execute import write_out
from ._op import Array, op
from .shape import wrap_dim

# -- normalizations, with the statistics they found -----------------------------------------------------------------


def _normed(x, axes, eps):
    """(x of mean 0 and variance 1, mean, 1 / standard deviation); low precision is computed in float32."""
    wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
    middle = jnp.mean(wide, axes, keepdims=True)
    apart = wide - middle
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(apart), axes, keepdims=True) + eps)
    return apart * scale, middle, scale


def _scaled(x, weight, bias, shape):
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


@op(name="native_layer_norm", method=False)
def _native_layer_norm(input: Array, weight: Array | None, bias: Array | None, count, eps):
    axes = tuple(range(input.ndim - count, input.ndim))
    out, middle, scale = _normed(input, axes, eps)
    return _scaled(out, weight, bias, input.shape[-count:]).astype(input.dtype), middle, scale


def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """``layer_norm``, and the means and inverse standard deviations it used."""
    nn_norm._check_normalized(input, tuple(normalized_shape), weight, bias, "*")
    out, middle, scale = _native_layer_norm(input, weight, bias, len(normalized_shape), eps)
    return out, middle.detach(), scale.detach()


@op(name="native_group_norm", method=False)
def _native_group_norm(input: Array, weight: Array | None, bias: Array | None, shape, group, eps):
    N, C, rest = shape
    out, middle, scale = _normed(input.reshape(N, group, C // group * rest), (2,), eps)
    out = _scaled(out.reshape(N, C, rest), weight, bias, (1, C, 1))
    return out.reshape(input.shape).astype(input.dtype), middle[..., 0], scale[..., 0]


def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """``group_norm``, and the means and inverse standard deviations it used."""
    return _native_group_norm(input, weight, bias, (N, C, HxW), group, eps)


@op(name="native_batch_norm", method=False)
def _native_batch_norm(input: Array, weight: Array | None, bias: Array | None, eps):
    axes = tuple(d for d in range(input.ndim) if d != 1)
    shape = tuple(n if d == 1 else 1 for d, n in enumerate(input.shape))
    out, middle, scale = _normed(input, axes, eps)
    out = _scaled(out, weight, bias, shape).astype(input.dtype)
    return out, jax.lax.stop_gradient(middle.reshape(-1)), jax.lax.stop_gradient(scale.reshape(-1))


def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, *, out=None):
    """``batch_norm``, and the means and inverse standard deviations it used; empty where it used the running ones."""
    made = nn_norm.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    empty = input.new_empty(0)
    rest = [s.detach() for s in _native_batch_norm(input, weight, bias, eps)[1:]] if training else [empty, empty]
    return (made, *rest) if out is None else write_out("native_batch_norm", (made, *rest), out)


@op(name="softmax_backward_data", method=False)
def _softmax_backward(grad_output: Array, output: Array, dim, dtype):
    product = grad_output * output
    return (product - output * jnp.sum(product, dim, keepdims=True)).astype(dtype.np)


def _softmax_backward_data(grad_output, output, dim, input_dtype):
    """The derivative of ``softmax`` from its output, for autograd functions written by hand."""
    return _softmax_backward(grad_output, output, wrap_dim(dim, output.dim()), input_dtype)


# -- samplers -------------------------------------------------------------------------------------------------------

_MODES, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """``nn.functional.grid_sample`` with its modes as numbers."""
    return nn_resize.grid_sample(input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


grid_sampler_2d = grid_sampler_3d = grid_sampler

__all__ = [
    "_softmax_backward_data", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "native_batch_norm",
    "native_group_norm", "native_layer_norm",
]  # fmt: skip
