"""Owns the affine maps: linear without flattening, and bilinear.

May import the door, nn_common, unrounded products and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from ._execute import scalar_name
from ._op import Array, op
from ._unrounded import rounds_later, unrounded
from .nn_common import LOW, c_name, dtype_of


def contract(a, b, dims, batch=((), ()), preferred_element_type=None):
    """``lax.dot_general`` that sums half precision in float32.

    Args:
        preferred_element_type: the dtype of the result; default: that of the factors.
    """
    if preferred_element_type is not None:
        return jax.lax.dot_general(a, b, (dims, batch), preferred_element_type=preferred_element_type)
    if a.dtype in LOW:
        return jax.lax.dot_general(a, b, (dims, batch), preferred_element_type=jnp.float32).astype(a.dtype)
    return jax.lax.dot_general(a, b, (dims, batch))


@op(method=False)
def linear(input: Array, weight: Array, bias: Array | None = None):
    """``input @ weight.T + bias``.

    Shape:
        input ``(*, in)``, weight ``(out, in)`` or ``(in,)``, bias ``(out,)``; result ``(*, out)``.

    Raises:
        RuntimeError: the sizes or dtypes do not fit.
    """
    if input.ndim == 0 or weight.ndim == 0:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    inner, out = weight.shape[-1], weight.shape[:-1]
    lead = input.shape[:-1]
    if input.shape[-1] != inner:
        if weight.ndim == 1 and input.ndim == 1:
            raise RuntimeError(
                f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src [{inner}] to have the same "
                f"number of elements, but got {input.shape[0]} and {inner} elements respectively"
            )
        rows = input.size // max(input.shape[-1], 1)
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {inner}x{(*out, 1)[0]})"
        )
    if input.dtype != weight.dtype:
        if bias is not None and bias.dtype == weight.dtype:
            raise RuntimeError(
                f"mat1 and mat2 must have the same dtype, but got {scalar_name(dtype_of(input))} and "
                f"{scalar_name(dtype_of(weight))}"
            )
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(input)} != {c_name(weight)}")
    dims = ((input.ndim - 1,), (weight.ndim - 1,))
    once = bias is not None and rounds_later(input)
    result = unrounded(functools.partial(contract, dims=dims), input, weight) if once else contract(input, weight, dims)
    if bias is None:
        return result
    if bias.dtype != input.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {scalar_name(dtype_of(bias))} and "
            f"{scalar_name(dtype_of(weight))}"
        )
    if bias.ndim and bias.shape[-1] not in (1, *out):
        rows = result.size // out[0] if out and out[0] else 1
        raise RuntimeError(
            f"The expanded size of the tensor ({(*out, 1)[0]}) must match the existing size ({bias.shape[-1]}) at "
            f"non-singleton dimension 1.  Target sizes: {[rows, *out]}.  Tensor sizes: {list(bias.shape)}"
        )
    # Half precision is rounded once, after the bias, as in torch.
    added = (result + bias.astype(jnp.float32)).astype(input.dtype) if once else result + bias
    return added.reshape((*lead, *out))


@op(method=False)
def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None):
    """``x1 @ weight[k] @ x2 + bias[k]`` for every output ``k``.

    Shape:
        input1 ``(*, in1)``, input2 ``(*, in2)``, weight ``(out, in1, in2)``, bias ``(out,)``; result ``(*, out)``.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for i, (n, m) in enumerate(zip(input1.shape[:-1], input2.shape[:-1])):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: got {n} and {m}")
    for i, (given, expected) in enumerate(
        ((input1.shape[-1], weight.shape[1]), (input2.shape[-1], weight.shape[2])), 1
    ):
        if given != expected:
            raise RuntimeError(
                f"bilinear(): input{i} size does not match weight size: got {given} but expected {expected}"
            )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {weight.shape[0]}"
        )
    partial = contract(input1, weight, ((input1.ndim - 1,), (1,)))
    result = jnp.sum(partial * input2[..., None, :], -1)
    return result if bias is None else result + bias


__all__ = ["bilinear"]
