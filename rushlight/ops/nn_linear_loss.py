"""Owns the linear layer and cross-entropy in one operator, in chunks, for many classes.

May import the door, nn_loss, nn_loss_class and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from ._op import Array, op
from .nn_loss import reduce_loss
from .nn_loss_class import _check_target, _check_weight, _log_softmax, _picked


@op(name="linear_cross_entropy_chunked", method=False)
def linear_cross_entropy_chunked(
    input: Array,
    linear_weight: Array,
    target: Array,
    bias: Array | None,
    weight: Array | None,
    ignore_index,
    reduction,
    chunk,
    acc_dtype,
):
    """Cross-entropy of ``input @ linear_weight.T + bias``, ``chunk`` rows at a time.

    Args:
        acc_dtype: what logits and sums are kept in.
    """
    rows, features = input.shape
    classes = linear_weight.shape[0]
    _check_target(jax.ShapeDtypeStruct((rows, classes), input.dtype), target, 1)
    _check_weight(weight, classes)
    count = -(-rows // chunk)
    padding = count * chunk - rows
    x = jnp.pad(input, ((0, padding), (0, 0))).reshape(count, chunk, features)
    t = jnp.pad(target, (0, padding), constant_values=ignore_index).reshape(count, chunk)

    # Backward computes each chunk's logits again instead of keeping them.
    @jax.checkpoint
    def losses_of(part):
        x, t = part
        logits = lax.dot_general(x, linear_weight, (((1,), (1,)), ((), ())), preferred_element_type=acc_dtype)
        logits = logits if bias is None else logits + bias.astype(acc_dtype)
        kept = t != ignore_index
        safe = jnp.where(kept, t, 0)
        scale = kept.astype(acc_dtype) if weight is None else jnp.where(kept, weight[safe].astype(acc_dtype), 0)
        return jnp.where(kept, -_picked(_log_softmax(logits, 1), safe, 1) * scale, 0), scale

    losses, scale = lax.map(losses_of, (x, t))
    losses = losses.reshape(-1)[:rows]
    if reduction == "mean":
        return (losses.sum() / scale.sum()).astype(input.dtype)
    return reduce_loss(losses, reduction).astype(input.dtype)


__all__: list[str] = []
