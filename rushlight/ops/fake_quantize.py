"""Owns quantization in simulation: values rounded to a grid but kept as floats, and the grids for observed ranges.

May import the door, the shapes and jax. Rounding passes gradients straight through where a value lay inside the grid.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from .. import dtypes
from .._errors import not_supported
from .._tensor.tensor import Tensor
from ._op import Array, Number, op
from .shape import wrap_dim

# Below this the fused operator uses no smaller step, as torch's kernels do.
_SMALLEST_STEP = 6.1e-5


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def _on_grid(x, scale, zero_point, quant_min, quant_max, fine=jnp.float32):
    return _rounded(x, scale, zero_point, quant_min, quant_max, fine)[0]


@_on_grid.defjvp
def _on_grid_jvp(quant_min, quant_max, fine, primals, tangents):
    value, inside = _rounded(primals[0], primals[1], primals[2], quant_min, quant_max, fine)
    return value, jnp.where(inside, tangents[0], 0).astype(value.dtype)


def _rounded(x, scale, zero_point, quant_min, quant_max, fine):
    """The values on the grid, multiplied in the precision ``fine``, and which of them had not to be clipped."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    steps = wide * (1 / scale).astype(wide.dtype)
    whole = not jnp.issubdtype(zero_point.dtype, jnp.floating)
    zero_point = zero_point.astype(wide.dtype)
    level = jnp.round(steps) + zero_point if whole else jnp.round(steps + zero_point)
    inside = (level >= quant_min) & (level <= quant_max)
    # What is not a number goes to the lower end.
    held = jnp.where(jnp.isnan(level), quant_min, jnp.clip(level, quant_min, quant_max))
    return ((held.astype(fine) - zero_point.astype(fine)) * scale.astype(fine)).astype(x.dtype), inside


def _check(x, quant_min, quant_max, name):
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtypes.from_numpy(x.dtype).name}'")
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or equal to `quant_max`.")


@op(name="_fake_quantize_per_tensor", method=False)
def _per_tensor(input: Array, scale: Array, zero_point: Array, quant_min, quant_max):
    _check(input, quant_min, quant_max, "fake_quantize_per_tensor_affine")
    scale, zero_point = jnp.asarray(scale), jnp.asarray(zero_point)
    if scale.size != 1 or zero_point.size != 1:
        raise RuntimeError(
            f"fake_quantize_per_tensor_affine(): expected one scale and one zero point, got {scale.size} and "
            f"{zero_point.size}. Use fake_quantize_per_channel_affine."
        )
    scale = scale.reshape(()).astype(jnp.float32)
    return _on_grid(input, scale, zero_point.reshape(()).astype(jnp.int32), quant_min, quant_max)


def fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max):
    """Round to the grid ``(level - zero_point) * scale`` with integer levels from ``quant_min`` to ``quant_max``.

    Gradients pass unchanged where the value lay within the grid and are zero elsewhere.

    Args:
        input: floating values.
        scale: the step: a number, or a tensor of one element.
        zero_point: the level of 0.0: an integer, or a tensor of one element.
        quant_min, quant_max: the lowest and the highest level.

    Shape:
        Any; the result has it too.

    Raises:
        RuntimeError: limits in the wrong order, a zero point outside them, or more than one scale.

    Example:
        >>> import rushlight as torch
        >>> torch.fake_quantize_per_tensor_affine(torch.tensor([0.06, -0.31, 99.0]), 0.1, 0, -128, 127)
        tensor([ 0.1000, -0.3000, 12.7000])
    """
    if not isinstance(zero_point, Tensor) and quant_min <= quant_max and not quant_min <= zero_point <= quant_max:
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    return _per_tensor(input, scale, zero_point, quant_min, quant_max)


@op(name="fake_quantize_per_channel_affine", method=False, numbers=())
def fake_quantize_per_channel_affine(input: Array, scale: Array, zero_point: Array, axis, quant_min, quant_max):
    """Round each channel to a grid of its own; see ``fake_quantize_per_tensor_affine``.

    Args:
        input: floating values.
        scale, zero_point: one for each channel.
        axis: the dimension of the channels.
        quant_min, quant_max: the lowest and the highest level.

    Shape:
        input ``(*, C, *)``; scale and zero point ``(C,)``.

    Raises:
        RuntimeError: sizes that do not fit, or limits in the wrong order.

    Example:
        >>> import rushlight as torch
        >>> x, zero = torch.tensor([[0.26], [0.26]]), torch.zeros(2, dtype=torch.int32)
        >>> torch.fake_quantize_per_channel_affine(x, torch.tensor([0.1, 0.25]), zero, 0, 0, 255)
        tensor([[0.3000],
                [0.2500]])
    """
    _check(input, quant_min, quant_max, "fake_quantize_per_channel_affine")
    if scale.dtype not in (jnp.float32, jnp.bfloat16):
        raise RuntimeError(f"Scale must be Float or BFloat16, found {dtypes.from_numpy(scale.dtype).name}")
    if zero_point.dtype not in (jnp.int32, jnp.float32, jnp.float16):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {dtypes.from_numpy(zero_point.dtype).name}")
    if scale.ndim != 1 or zero_point.ndim != 1:
        raise RuntimeError("scale and zero_point need to be 1-D tensors")
    if scale.shape != zero_point.shape:
        raise RuntimeError("scale and zero-point need to have the same dimensions")
    axis = wrap_dim(axis, input.ndim)
    if scale.size != input.shape[axis]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    return _by_channel(input, scale, zero_point, axis, quant_min, quant_max)


def _by_channel(input, scale, zero_point, axis, quant_min, quant_max):
    shape = [1] * input.ndim
    shape[axis] = -1
    whole = not jnp.issubdtype(zero_point.dtype, jnp.floating)
    fine = jnp.float32 if whole and input.dtype != jnp.float64 else jnp.float64
    return _on_grid(input, scale.reshape(shape), zero_point.reshape(shape), quant_min, quant_max, fine)


# -- ranges and the grids they give ---------------------------------------------------------------------------------


def _extremes(x, axis):
    """The least and greatest value, over everything or in each channel."""
    over = None if axis is None else tuple(d for d in range(x.ndim) if d != axis % x.ndim)
    return x.min(over), x.max(over)


def _blended(now, held, share):
    """A moving average that starts with its first value."""
    return jnp.where(jnp.isinf(held), now, held + share * (now - held))


@op(name="_observed_range", method=False, differentiable=False)
def observed_range(input: Array, low: Array, high: Array, share: Number | None, axis):
    """The range after seeing ``input``: the extremes so far, or their moving average with a share for the newest.

    An empty ``low`` has seen nothing; so has an infinite one.
    """
    now_low, now_high = _extremes(input.astype(low.dtype), axis)
    if low.size == 0:
        return now_low, now_high
    if share is None:
        return jnp.minimum(now_low, low), jnp.maximum(now_high, high)
    fresh = jnp.isposinf(low) & jnp.isneginf(high)
    return (
        jnp.where(fresh, now_low, low + share * (now_low - low)),
        jnp.where(fresh, now_high, high + share * (now_high - high)),
    )


def _divided(array, number):
    """A true quotient. XLA multiplies by the reciprocal of a scalar: one bit off, which decides ties on the grid."""
    return (array.astype(jnp.float64) / number).astype(array.dtype)


@op(name="_range_to_grid", method=False, differentiable=False)
def range_to_grid(low: Array, high: Array, eps: Array, span, quant_min, quant_max, scheme, middle):
    """Scale and zero point of the grid that covers a range.

    Args:
        span: ``quant_max - quant_min``.
        scheme: ``"symmetric"``, ``"affine"`` or ``"float"`` (a zero point that is no integer).
        middle: the zero point of a symmetric grid.
    """
    below, above = jnp.minimum(low, 0), jnp.maximum(high, 0)
    if scheme == "symmetric":
        scale = jnp.maximum(_divided(jnp.maximum(-below, above), span / 2), eps.reshape(()))
        zero = jnp.full(scale.shape, middle, jnp.int64)
    elif scheme == "float":
        scale = _divided(high - low, span)
        scale = jnp.where(scale > eps.reshape(()), scale, 1)
        zero = -low / scale
    else:
        scale = jnp.maximum(_divided(above - below, span), eps.reshape(()))
        zero = jnp.clip(quant_min - jnp.round(below / scale).astype(jnp.int32), quant_min, quant_max)
    return jnp.atleast_1d(scale), jnp.atleast_1d(zero)


def _kernel_grid(low, high, span, quant_min, quant_max, symmetric):
    """The grid that torch's fused kernel chooses, which differs from the observers': see ``range_to_grid``."""
    low, high = low.astype(jnp.float32), high.astype(jnp.float32)
    mixed = (low < 0) & (high > 0)
    if symmetric:
        ends = -((quant_max - quant_min) // 2 + 1), (quant_max - quant_min) // 2
        step = jnp.maximum(jnp.abs(_divided(low, ends[0])), jnp.abs(_divided(high, ends[1]))).astype(jnp.float64)
        low = jnp.where(mixed, (step * ends[0]).astype(jnp.float32), low)
        high = jnp.where(mixed, (step * ends[1]).astype(jnp.float32), high)
    low, high = jnp.minimum(low, 0), jnp.maximum(high, 0)
    scale = (high.astype(jnp.float64) - low) / span
    single = scale.astype(jnp.float32)
    scale = jnp.where((single == 0) | jnp.isinf(1 / single), 0.1, scale)
    small = scale < jnp.float32(_SMALLEST_STEP)
    grown = jnp.float32(_SMALLEST_STEP) / scale.astype(jnp.float32)
    edge = jnp.float32(_SMALLEST_STEP) * (quant_max - quant_min)
    new_low = jnp.where(low == 0, low, jnp.where(high == 0, -edge, low * grown))
    new_high = jnp.where(low == 0, edge, jnp.where(high == 0, high, high * grown))
    low, high = jnp.where(small, new_low, low), jnp.where(small, new_high, high)
    scale = jnp.where(small, jnp.float64(jnp.float32(_SMALLEST_STEP)), scale)
    from_low, from_high = low / scale, high / scale
    nearer = abs(quant_min) - jnp.abs(from_low) < abs(quant_max) - jnp.abs(from_high)
    zero = jnp.where(nearer, quant_min - from_low, quant_max - from_high)
    if symmetric:
        zero = jnp.where((low < 0) & (high > 0), (quant_min + quant_max) / 2, zero)
    zero = jnp.clip(jnp.round(zero), quant_min, quant_max).astype(jnp.int32)
    return scale.astype(jnp.float32), zero


@op(name="_fused_moving_avg_obs_fake_quant", method=False)
def _fused(
    input: Array, observer_on: Array, fake_quant_on: Array, low: Array, high: Array, scale: Array, zero_point: Array,
    share: Number, span: Number, quant_min, quant_max, axis, symmetric,
):  # fmt: skip
    """The result, then the range, scale and zero point after it."""
    _check(input, quant_min, quant_max, "fused_moving_avg_obs_fake_quant")
    watching, rounding = observer_on.reshape(-1)[0] != 0, fake_quant_on.reshape(-1)[0] != 0
    fixed = jax.lax.stop_gradient(input)
    now_low, now_high = _extremes(fixed.astype(low.dtype), axis)
    low = jnp.where(watching, _blended(now_low.reshape(low.shape), low, share), low)
    high = jnp.where(watching, _blended(now_high.reshape(high.shape), high, share), high)
    new_scale, new_zero = _kernel_grid(low, high, span, quant_min, quant_max, symmetric)
    if axis is None:
        rounded = _on_grid(input, new_scale.reshape(()), new_zero.reshape(()), quant_min, quant_max)
    else:
        rounded = _by_channel(input, new_scale, new_zero, axis, quant_min, quant_max)
    scale = jnp.where(rounding, new_scale.reshape(scale.shape).astype(scale.dtype), scale)
    zero_point = jnp.where(rounding, new_zero.reshape(zero_point.shape).astype(zero_point.dtype), zero_point)
    return jnp.where(rounding, rounded, input), low, high, scale, zero_point


def fused_moving_avg_obs_fake_quant(
    input, observer_on, fake_quant_on, running_min, running_max, scale, zero_point, averaging_const, quant_min,
    quant_max, ch_axis, per_row_fake_quant=False, symmetric_quant=False,
):  # fmt: skip
    """Average the range of ``input`` into the running one, and round ``input`` to the grid of that range.

    Args:
        input: floating values.
        observer_on: tensor; whether the range is updated.
        fake_quant_on: tensor; whether values are rounded, and ``scale`` and ``zero_point`` set.
        running_min, running_max, scale, zero_point: updated in place; for channels, empty ones get their size here.
        averaging_const: the share of the newest range.
        quant_min, quant_max: the lowest and the highest level.
        ch_axis: the dimension of the channels.
        per_row_fake_quant: one grid for each channel.
        symmetric_quant: grids with the zero point in the middle.

    Shape:
        input ``(*, C, *)``; the state has one element, or ``C``.

    Example:
        >>> import rushlight as torch
        >>> on, low, high = torch.tensor([1]), torch.tensor(torch.inf), torch.tensor(-torch.inf)
        >>> scale, zero = torch.ones(1), torch.zeros(1, dtype=torch.int32)
        >>> x = torch.tensor([0.0, 1.03, 2.55])
        >>> torch.fused_moving_avg_obs_fake_quant(x, on, on, low, high, scale, zero, 0.01, 0, 255, -1)
        tensor([0.0000, 1.0300, 2.5500])
        >>> scale
        tensor([0.0100])
    """
    axis = None
    if per_row_fake_quant:
        axis = wrap_dim(ch_axis, input.dim())
        if running_min.numel() == 0:
            size = input.shape[axis]
            running_min.resize_(size).fill_(float("inf"))
            running_max.resize_(size).fill_(float("-inf"))
            scale.resize_(size)
            zero_point.resize_(size)
    result = _fused(
        input, observer_on, fake_quant_on, running_min, running_max, scale, zero_point, averaging_const,
        quant_max - quant_min, quant_min, quant_max, axis, bool(symmetric_quant),
    )  # fmt: skip
    for held, new in zip((running_min, running_max, scale, zero_point), result[1:]):
        held._write(new._array())
    return result[0]


def _make_per_tensor_quantized_tensor(input, scale, zero_point):
    """Refused: tensors of integers on a grid are not offered.

    Args:
        input: the integers.
        scale, zero_point: the grid.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported(
        "torch._make_per_tensor_quantized_tensor",
        "(input.float() - zero_point) * scale are the numbers that the integers stand for.",
    )


__all__ = [
    "_make_per_tensor_quantized_tensor",
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_tensor_affine",
    "fused_moving_avg_obs_fake_quant",
]
