"""Owns convolution and its transpose in one, two and three dimensions.

May import the door, the tensor cell, the settings, nn_common, unrounded products and jax.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax.numpy as jnp
from jax import lax

from .. import config
from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._layout import in_order
from ._op import Array, op
from ._unrounded import rounds_later, unrounded
from .nn_common import c_name, dtype_of, joined


def _spatial(value, nd, name):
    if isinstance(value, int):
        return (value,) * nd
    value = tuple(int(v) for v in value)
    if len(value) == 1:
        return value * nd
    if len(value) != nd:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {nd} values to match the convolution "
            f"dimensions, but got {name}={list(value)}"
        )
    return value


def _same(kernel, stride, dilation):
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation)]
    return tuple((t // 2, t - t // 2) for t in total)


def _check(input, weight, bias, stride, dilation, groups, nd, name, transposed):
    shape, ws = list(input.shape), list(weight.shape)
    if weight.ndim != nd + 2:
        if weight.ndim < 3:
            raise RuntimeError("weight should have at least three dimensions")
        raise RuntimeError(
            f"Expected {nd + 2}-dimensional weight for {name}, but got weight of size {ws}. "
            f"Its dimensions are (out, in / groups, {', '.join(['kernel'] * nd)})."
        )
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if ws[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size [{ws}] instead"
        )
    if ws[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size "
            f"{ws} instead"
        )
    channels = ws[0] if transposed else ws[1] * groups
    if shape[1] != channels:
        what = f"transposed={groups}" if transposed else f"groups={groups}"
        raise RuntimeError(
            f"Given {what}, weight of size {ws}, expected input{shape} to have {channels} channels, but got "
            f"{shape[1]} channels instead"
        )
    out = ws[1] * groups if transposed else ws[0]
    if bias is not None and bias.shape != (out,):
        start = f"Given transposed={int(transposed)}, weight" if transposed else "Given weight"
        raise RuntimeError(
            f"{start} of size {ws}, expected bias to be 1-dimensional with {out} elements, but got bias of size "
            f"{list(bias.shape)} instead"
        )
    if bias is not None and bias.dtype != input.dtype:
        raise RuntimeError(f"Input type ({c_name(input)}) and bias type ({c_name(bias)}) should be the same")
    if input.dtype != weight.dtype:
        raise RuntimeError(
            f"expected scalar type {scalar_name(dtype_of(input))} but found {scalar_name(dtype_of(weight))}"
        )


def _batched(input, nd, name):
    """The input with a batch dimension, and whether it had one."""
    if input.ndim not in (nd + 1, nd + 2):
        raise RuntimeError(
            f"Expected {nd + 1}D (unbatched) or {nd + 2}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )
    return (input, True) if input.ndim == nd + 2 else (input[None], False)


def _finish(input, kernels, bias, batched, nd, **options):
    multiply = functools.partial(lax.conv_general_dilated, **options)
    if bias is None:
        result = multiply(input, kernels)
    elif rounds_later(input):
        result = unrounded(multiply, input, kernels) + bias.astype(jnp.float32).reshape((1, -1) + (1,) * nd)
        result = result.astype(input.dtype)
    else:
        result = multiply(input, kernels) + bias.reshape((1, -1) + (1,) * nd)
    return result if batched else result[0]


def _options(large, **_) -> dict | None:
    return config.convolution_options(math.inf) if large else None


def _is_large(input, weight, stride, nd) -> bool:
    """Whether a convolution has much to do: roughly, before anything was checked."""
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)) or input.dim() <= nd:
        return False
    shape, steps = input.shape, stride**nd if isinstance(stride, int) else math.prod(stride)
    work = math.prod(shape) * math.prod(weight.shape) / max(shape[-nd - 1] * steps, 1)
    return work > config.LARGE_CONVOLUTION


@op(name="convolution", method=False, options=_options)
def _convolution(input: Array, weight: Array, bias: Array | None, stride, padding, dilation, groups, nd, large):
    name = f"conv{nd}d"
    input, batched = _batched(input, nd, name)
    stride, dilation = _spatial(stride, nd, "stride"), _spatial(dilation, nd, "dilation")
    _check(input, weight, bias, stride, dilation, groups, nd, name, False)
    kernel = weight.shape[2:]
    if padding == "same":
        pads = _same(kernel, stride, dilation)
    elif padding == "valid":
        pads = ((0, 0),) * nd
    elif isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    else:
        pads = tuple((p, p) for p in _spatial(padding, nd, "padding"))
        if any(p < 0 for p, _ in pads):
            raise RuntimeError("negative padding is not supported")
    padded = [n + a + b for n, (a, b) in zip(input.shape[2:], pads)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if any(n < k for n, k in zip(padded, reach)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({joined(padded)}). Kernel size: ({joined(reach)}). Kernel "
            "size can't be greater than actual input size"
        )
    return _finish(
        input, weight, bias, batched, nd, window_strides=stride, padding=pads, rhs_dilation=dilation,
        feature_group_count=groups,
    )  # fmt: skip


@op(name="conv_transpose", method=False, options=_options)
def _conv_transpose(
    input: Array, weight: Array, bias: Array | None, stride, padding, output_padding, groups, dilation, nd, large
):
    name = f"conv_transpose{nd}d"
    input, batched = _batched(input, nd, name)
    stride, dilation = _spatial(stride, nd, "stride"), _spatial(dilation, nd, "dilation")
    padding = _spatial(padding, nd, "padding")
    extra = _spatial(output_padding, nd, "output_padding")
    _check(input, weight, bias, stride, dilation, groups, nd, name, True)
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(p < 0 for p in extra):
        raise RuntimeError("negative output_padding is not supported")
    if any(p >= s and p >= d for p, s, d in zip(extra, stride, dilation)):
        labels = ("depth", "height", "width")[3 - max(nd, 2) :]
        named = [
            f"{what}_{label}: {v}"
            for what, values in (("output_padding", extra), ("stride", stride), ("dilation", dilation))
            for label, v in zip(labels, (1,) * (len(labels) - nd) + values)
        ]
        raise RuntimeError("output padding must be smaller than either stride or dilation, but got " + " ".join(named))
    kernel = weight.shape[2:]
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(input.shape[2:], stride, padding, dilation, kernel, extra)
    ]
    if any(n < 1 for n in size):
        raise RuntimeError(
            f"Given input size per channel: ({joined(input.shape[2:])}). Calculated output size per channel: "
            f"({joined(size)}). Output size is too small"
        )
    axes = tuple(range(2, nd + 2))
    kernels = lax.rev(weight, axes)
    grouped = kernels.reshape(groups, weight.shape[0] // groups, weight.shape[1], *kernel)
    kernels = jnp.swapaxes(grouped, 1, 2).reshape(groups * weight.shape[1], weight.shape[0] // groups, *kernel)
    pads = [(d * (k - 1) - p, d * (k - 1) - p + e) for k, p, d, e in zip(kernel, padding, dilation, extra)]
    return _finish(
        input, kernels, bias, batched, nd, window_strides=(1,) * nd, padding=pads, lhs_dilation=stride,
        rhs_dilation=dilation, feature_group_count=groups,
    )  # fmt: skip


_convolution.form = _conv_transpose.form = in_order


def _conv(nd):
    def conv(input, weight, bias=None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups=1):
        large = _is_large(input, weight, stride, nd)
        return _convolution(input, weight, bias, stride, padding, dilation, groups, nd, large)

    def conv_transpose(
        input, weight, bias=None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups=1,
        dilation: Any = 1,
    ):  # fmt: skip
        large = _is_large(input, weight, 1, nd)
        return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, nd, large)

    spatial = ", ".join("DHW"[3 - nd :])
    conv.__name__ = conv.__qualname__ = f"conv{nd}d"
    conv.__doc__ = f"""Convolve over {nd} spatial dimension{"s" * (nd > 1)}.

    Args:
        stride, dilation: one int or {nd}.
        padding: zeros on both sides, or ``"same"`` or ``"valid"``.
        groups: blocks of channels that do not see each other.

    Shape:
        input ``(N, C, {spatial})`` or ``(C, {spatial})``, weight ``(out, C / groups, kernel...)``, bias ``(out,)``.

    Raises:
        RuntimeError: the sizes or dtypes do not fit.
    """
    conv_transpose.__name__ = conv_transpose.__qualname__ = f"conv_transpose{nd}d"
    conv_transpose.__doc__ = f"""The transpose of ``conv{nd}d`` (its derivative with respect to the input).

    Shape:
        input ``(N, C, {spatial})`` or ``(C, {spatial})``, weight ``(C, out / groups, kernel...)``, bias ``(out,)``.

    Raises:
        RuntimeError: the sizes or dtypes do not fit.
    """
    return conv, conv_transpose


conv1d, conv_transpose1d = _conv(1)
conv2d, conv_transpose2d = _conv(2)
conv3d, conv_transpose3d = _conv(3)


def conv_tbc(input, weight, bias, pad=0):
    """One-dimensional convolution of (time, batch, channel) with weight (kernel, in, out)."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip
