"""Owns padding: constant, reflecting, replicating and circular.

May import the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._op import Array, Number, op


@op(name="constant_pad_nd", method=False)
def _constant(input: Array, pad, value: Number):
    config = [(0, 0, 0)] * input.ndim
    for i in range(len(pad) // 2):
        low, high = pad[2 * i], pad[2 * i + 1]
        if input.shape[-1 - i] + low + high < 0:
            raise RuntimeError(
                f"The input size {input.shape[-1 - i]}, plus negative padding {low} and {high} resulted in a negative "
                "output size, which is invalid. Check dimension "
                f"{input.ndim - 1 - i} of your input."
            )
        config[-1 - i] = (low, high, 0)
    return lax.pad(input, jnp.asarray(value).astype(input.dtype), config)


_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@op(name="pad", method=False)
def _edges(input: Array, pad, mode):
    count = len(pad) // 2
    if input.ndim not in (count + 1, count + 2) or count > 3:
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    shape = list(input.shape)
    width = [(0, 0)] * input.ndim
    for i in range(count):
        low, high, axis = pad[2 * i], pad[2 * i + 1], input.ndim - 1 - i
        n = shape[axis]
        if mode == "reflect" and max(low, high) >= n:
            raise RuntimeError(
                f"Argument #{4 + 2 * i}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({low}, {high}) at dimension {axis} of input {shape}"
            )
        if mode == "circular" and max(low, high) > n:
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n + low + high < 0 or (mode == "circular" and n + min(low, 0) + min(high, 0) < 0):
            raise RuntimeError(
                f"Padding ({low}, {high}) of dimension {axis} of input {shape} gives a negative size. Pad less."
            )
        if mode != "circular" and low * high < 0:
            # One side is cropped: the other one still sees the elements that go.
            place = np.arange(-low, n + high)
            end = n - 1
            place = np.clip(place, 0, end) if mode == "replicate" else end - np.abs(end - np.abs(place))
            input = jnp.take(input, place, axis=axis)
            continue
        width[axis] = (max(low, 0), max(high, 0))
        # Negative padding crops first.
        input = lax.slice_in_dim(input, max(-low, 0), n - max(-high, 0), axis=axis)
    return jnp.pad(input, width, mode=_NAMES[mode])


def pad(input, pad, mode="constant", value=None):
    """Add elements around a tensor, or crop it where a number is negative.

    Args:
        pad: (left, right) of the last dimension, then of the one before, and so on.
        mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        value: the constant; default 0.

    Raises:
        RuntimeError: the numbers do not fit the input.
        NotImplementedError: an unknown mode, or a mode that does not go with the input's dimensions.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.functional.pad(torch.tensor([[1, 2, 3]]), (2, 1), mode="reflect")
        tensor([[3, 2, 1, 2, 3, 2]])
    """
    pad = tuple(int(n) for n in pad)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    ndim = input.dim()
    if len(pad) > 2 * ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {ndim}"
        )
    if mode == "constant":
        return _constant(input, pad, 0 if value is None else value)
    if mode not in _NAMES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    return _edges(input, pad, mode)


def constant_pad_nd(input, pad_, value=0):
    """``nn.functional.pad`` with a constant."""
    return pad(input, pad_, "constant", value)


__all__ = ["constant_pad_nd"]
