"""Owns scaled dot-product attention.

May import the door, the modes, nn_dropout, nn_linear and jax. On GPUs JAX's fused kernel serves where it applies.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._graph.modes import state
from ._op import Array, Number, op
from .creation import empty
from .nn_common import LOW, c_name, widen

_CHUNK = 64  # rows of a causal block; below this the saved work does not pay for another product


def _scores(q, k, mask, causal_from):
    scores = jnp.einsum("...ld,...sd->...ls", q, k, preferred_element_type=jnp.float32 if q.dtype in LOW else None)
    least = jnp.array(-jnp.inf, scores.dtype)
    if mask is not None:
        scores = jnp.where(mask, scores, least) if mask.dtype == bool else scores + widen(mask)
    if causal_from is not None:
        l, s = scores.shape[-2:]
        allowed = jnp.arange(s)[None, :] <= jnp.arange(causal_from, causal_from + l)[:, None]
        scores = jnp.where(allowed, scores, least)
    return scores


def _exponentials(scores, safe):
    """What softmax divides, and by what. The product with the values is divided, which is smaller than the scores."""
    top = lax.stop_gradient(scores.max(-1, keepdims=True))
    if safe:
        # A row that may attend to nothing gives zeros, not NaN.
        top = jnp.where(top == -jnp.inf, 0, top)
    e = jnp.exp(scores - top)
    total = e.sum(-1, keepdims=True)
    return e, (jnp.where(total == 0, 1, total) if safe else total)


# What JAX is to use on a GPU.
_IMPLEMENTATION: Any = "cudnn"


@functools.cache
def _fuses_here() -> bool:
    """Whether cuDNN's fused attention works on this machine's GPU, forward and backward."""
    if jax.default_backend() != "gpu":
        return False

    def total(q):
        return jax.nn.dot_product_attention(q, q, q, is_causal=True, implementation="cudnn").sum()

    try:
        with jax.ensure_compile_time_eval():
            jax.block_until_ready(jax.jit(jax.grad(total))(jnp.ones((1, 64, 1, 64), jnp.bfloat16)))
    except Exception:  # no cuDNN, too old a GPU or a driver that does not fit: JAX raises many kinds
        return False
    return True


def _fuses(query, key, value, mask, causal, grouped) -> bool:
    """Whether attention goes to the GPU's fused kernel: half precision, no mask, heads of 8 to 128 numbers."""
    if mask is not None or query.device.type != "cuda" or state.vmap is not None or state.dual is not None:
        return False
    q, k, v = (t._array() for t in (query, key, value))
    if q.dtype not in LOW or not q.dtype == k.dtype == v.dtype or not q.ndim == k.ndim == v.ndim == 4:
        return False
    heads = q.shape[1] == k.shape[1] or (grouped and k.shape[1] and q.shape[1] % k.shape[1] == 0)
    size = q.shape[-1]
    return (
        bool(heads) and k.shape == v.shape and q.shape[0] == k.shape[0] and size == k.shape[-1]
        and size % 8 == 0 and 0 < size <= 128 and (not causal or q.shape[2] == k.shape[2]) and _fuses_here()
    )  # fmt: skip


@op(name="scaled_dot_product_attention", method=False)
def _fused_attention(query: Array, key: Array, value: Array, scale, causal):
    q, k, v = (jnp.swapaxes(a, 1, 2) for a in (query, key, value))
    found = jax.nn.dot_product_attention(q, k, v, scale=scale, is_causal=causal, implementation=_IMPLEMENTATION)
    return jnp.swapaxes(found, 1, 2)


@op(name="scaled_dot_product_attention", method=False)
def _attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    noise: Array | None,
    keep: Number,
    scale,
    causal,
    grouped,
):
    if not (query.dtype == key.dtype == value.dtype):
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {c_name(query)} key.dtype: "
            f"{c_name(key)} and value.dtype: {c_name(value)} instead."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim(): {query.ndim} "
            f"key.dim(): {key.ndim} and value.dim(): {value.ndim} instead."
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            f"scaled_dot_product_attention expects query (..., L, E), key (..., S, E) and value (..., S, V), but got "
            f"{list(query.shape)}, {list(key.shape)} and {list(value.shape)}."
        )
    if grouped and key.shape[-3] != query.shape[-3]:
        if query.shape[-3] % key.shape[-3] or key.shape[-3] != value.shape[-3]:
            raise RuntimeError(
                "Number of heads in key and value must divide the number of heads in query, but got "
                f"{key.shape[-3]}, {value.shape[-3]} and {query.shape[-3]}."
            )
        times = query.shape[-3] // key.shape[-3]
        key, value = jnp.repeat(key, times, axis=-3), jnp.repeat(value, times, axis=-3)
    rows, cols = query.shape[-2], key.shape[-2]
    q = query * jnp.asarray(scale, query.dtype)
    blocks = 4 if causal and mask is None and rows == cols and rows % 4 == 0 and rows >= 4 * _CHUNK else 1
    step = rows // blocks
    outs = []
    for i in range(blocks):
        # A block of queries looks at no key after its last row.
        seen = slice(0, cols if blocks == 1 else (i + 1) * step)
        part = slice(i * step, (i + 1) * step) if blocks > 1 else slice(None)
        weights, total = _exponentials(
            _scores(q[..., part, :], key[..., seen, :], mask, i * step if causal else None), mask is not None
        )
        if noise is not None:
            weights = weights * (noise[..., part, seen] / keep).astype(weights.dtype)
        found = jnp.einsum(
            "...ls,...sd->...ld", weights.astype(value.dtype), value[..., seen, :], preferred_element_type=total.dtype
        )
        outs.append((found / total).astype(value.dtype))
    return outs[0] if blocks == 1 else jnp.concatenate(outs, -2)


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """``softmax(query @ key.T * scale + mask) @ value``.

    Args:
        attn_mask: bool (True takes part) or float (added), broadcast to ``(..., L, S)``.
        dropout_p: the probability of dropping an attention weight.
        is_causal: query ``i`` sees keys ``0`` to ``i``.
        scale: default ``1 / sqrt(E)``.
        enable_gqa: key and value may have fewer heads than query.

    Shape:
        query ``(..., L, E)``, key ``(..., S, E)``, value ``(..., S, V)``; result ``(..., L, V)``.

    Raises:
        RuntimeError: shapes or dtypes do not fit.
    """
    shape = query._array().shape
    noise = None
    if scale is None:
        scale = float(shape[-1]) ** -0.5 if shape else 1.0
    if dropout_p > 0:
        against = key._array().shape
        # One draw for each weight: the batch may be the key's.
        batch = shape[:-2] if enable_gqa else np.broadcast_shapes(shape[:-2], against[:-2])
        noise = empty((*batch, shape[-2], against[-2]), dtype=query.dtype, device=query.device)
        noise = noise.bernoulli_(1 - dropout_p)
    if noise is None and _fuses(query, key, value, attn_mask, is_causal, enable_gqa):
        return _fused_attention(query, key, value, float(scale), bool(is_causal))
    return _attention(
        query, key, value, attn_mask, noise, 1 - dropout_p, float(scale), bool(is_causal), bool(enable_gqa)
    )


__all__: list[str] = []
