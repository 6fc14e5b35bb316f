"""Owns the connectionist temporal classification loss.

May import the door, nn_common, nn_loss and jax.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, op
from .creation import tensor
from .nn_common import concrete, dtype_of
from .nn_loss import reduce_loss, reduction_of

# torch.ctc_loss takes a number, nn.functional a word.
_REDUCTIONS: dict[Any, str] = {0: "none", 1: "mean", 2: "sum"}
_CHECKING = "(while checking arguments for ctc_loss_allocate_outputs)"


def _log_add(*terms):
    """The logarithm of a sum of exponentials, with derivative 0 where all of them are 0."""
    top = lax.stop_gradient(jnp.max(jnp.stack(terms), 0))
    top = jnp.where(top == -jnp.inf, 0, top)
    total = sum(jnp.exp(t - top) for t in terms)
    some = total > 0
    return jnp.where(some, jnp.log(jnp.where(some, total, 1)) + top, -jnp.inf)


@jax.custom_jvp
def _undefined(x):
    """Zero with the derivative NaN: torch's, of a loss that is infinite."""
    return jnp.zeros_like(x)


@_undefined.defjvp
def _undefined_jvp(primals, tangents):
    return jnp.zeros_like(primals[0]), tangents[0] * jnp.nan


def _rows(targets, lengths, width):
    """Concatenated targets as rows."""
    start = jnp.cumsum(lengths) - lengths
    index = start[:, None] + jnp.arange(width)
    return jnp.take(targets, index, mode="clip")


@op(name="ctc_loss", method=False)
def _ctc(
    log_probs: Array, targets: Array, input_lengths: Array, target_lengths: Array, blank, reduction, zero_inf, width
):
    steps, batch, _ = log_probs.shape
    targets = _rows(targets, target_lengths, width) if targets.ndim == 1 else targets[:, :width]
    # A path visits blank, label, blank, label, ..., blank.
    states = jnp.full((batch, 2 * width + 1), blank, targets.dtype).at[:, 1::2].set(targets)
    least = jnp.array(-jnp.inf, log_probs.dtype)
    emitted = jnp.take_along_axis(log_probs, states[None].astype(jnp.int32), 2, mode="clip")
    # Only two different labels may follow each other without a blank between them.
    skips = jnp.pad(states[:, 2:] != states[:, :-2], ((0, 0), (2, 0)))
    position = jnp.arange(2 * width + 1)
    first = jnp.where(position == 0, 0, jnp.where((position == 1) & (target_lengths[:, None] > 0), 0, least))

    def shifted(alpha, by):
        return jnp.pad(alpha, ((0, 0), (by, 0)), constant_values=-jnp.inf)[:, : alpha.shape[1]]

    def step(alpha, row):
        emission, t = row
        moved = _log_add(alpha, shifted(alpha, 1), jnp.where(skips, shifted(alpha, 2), least)) + emission
        alpha = jnp.where((t < input_lengths)[:, None], moved, alpha)
        return alpha, None

    alpha = first.astype(log_probs.dtype) + (emitted[0] if steps else 0)
    alpha = jnp.where((input_lengths > 0)[:, None], alpha, jnp.where(position == 0, 0, least))
    if steps > 1:
        alpha, _ = lax.scan(step, alpha, (emitted[1:], jnp.arange(1, steps)))

    def at(index):
        return jnp.take_along_axis(alpha, index[:, None], 1)[:, 0]

    end = 2 * target_lengths
    last = jnp.where(target_lengths > 0, at(jnp.maximum(end - 1, 0)), least)
    losses = -_log_add(at(end), last)
    # torch's derivative is that by the logits of a log_softmax: softmax minus the share of each label.
    inside = jnp.arange(steps)[:, None] < input_lengths
    mass = jnp.where(inside[..., None], jnp.exp(log_probs), 0).sum((0, 2))
    losses = losses + (mass - lax.stop_gradient(mass))
    infinite = jnp.isinf(losses)
    # Selected twice, so that the NaN stays with its sample.
    instead = 0 if zero_inf else jnp.inf + _undefined(jnp.where(infinite, mass, 0))
    losses = jnp.where(infinite, instead, losses)
    if reduction == "mean":
        return (losses / jnp.maximum(target_lengths, 1)).mean()
    return reduce_loss(losses, reduction)


def _lengths(value, name, batch, steps):
    """Lengths as an int64 tensor, and on the host where they are at hand.

    Raises:
        RuntimeError: not integers, not one per sample, negative, or (for inputs) beyond the last step.
    """
    if isinstance(value, Tensor):
        if value.dtype.category != 1:
            raise RuntimeError(f"{name} must be integral")
        made, host = value.reshape(-1).long(), concrete(value)
    else:
        host = np.asarray(value, np.int64)
        made = tensor(host.tolist()).long()
    if made.shape != (batch,):
        raise RuntimeError(f"{name} must be of size batch_size")
    if host is None:
        return made, None
    host = host.reshape(-1)
    for n in host:
        if n < 0:
            raise RuntimeError(f"Expected {name} to have value at least 0, but got value {n} {_CHECKING}")
        if steps is not None and n > steps:
            raise RuntimeError(f"Expected {name} to have value at most {steps}, but got value {n} {_CHECKING}")
    return made, host


def ctc_loss(
    log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False
):  # fmt: skip
    """Minus the log-probability of all alignments of a sequence of labels (Graves et al. 2006).

    Args:
        log_probs: the logarithm of a softmax over the labels, at every step.
        targets: labels, as rows or one after another.
        input_lengths, target_lengths: how much of each sample counts; a tensor or a tuple.
        blank: the label that stands for none.
        reduction: ``"mean"`` (of the losses divided by the targets' lengths), ``"sum"`` or ``"none"``.
        zero_infinity: 0 where a target is too long for its input, and no gradient.

    Shape:
        log_probs ``(T, N, C)`` or ``(T, C)``, targets ``(N, S)`` or ``(sum of lengths,)``, lengths ``(N,)`` or ``()``.

    Raises:
        RuntimeError: sizes, lengths or labels that do not fit.

    Example:
        >>> import rushlight as torch
        >>> x = torch.zeros(2, 1, 3).log_softmax(-1)
        >>> torch.nn.functional.ctc_loss(x, torch.tensor([[1]]), (2,), (1,))
        tensor(1.0986)
    """
    reduction = reduction_of(None, None, _REDUCTIONS.get(reduction, reduction))
    array = log_probs._array()
    if array.dtype not in (jnp.float32, jnp.float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{scalar_name(dtype_of(array))}'")
    batched = array.ndim == 3
    if not batched:
        single = isinstance(input_lengths, Tensor) and input_lengths.dim() == 0
        if array.ndim != 2 or not (single or not isinstance(input_lengths, Tensor)):
            raise RuntimeError(
                f"Expected 3-dimensional tensor, but got {array.ndim}-dimensional tensor for argument #1 'log_probs' "
                f"{_CHECKING}"
            )
        log_probs = log_probs.unsqueeze(1)
        if targets.dim() == 1:
            targets = targets.unsqueeze(0)
    steps, batch, classes = log_probs._array().shape
    if targets.dim() not in (1, 2):
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.dim()}-dimensional tensor for argument #2 'targets' "
            f"{_CHECKING}"
        )
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    inputs, _ = _lengths(input_lengths, "input_lengths", batch, steps)
    labels, host = _lengths(target_lengths, "target_lengths", batch, None)
    axis = targets.dim() - 1
    size = targets._array().shape[axis]
    width = size
    if host is not None:
        width = int(host.max()) if host.size else 0
        needed = width if axis else int(host.sum())
        if (axis and size < needed) or (not axis and size != needed):
            least = "at least " if axis else ""
            raise RuntimeError(
                f"Expected tensor to have size {least}{needed} at dimension {axis}, but got size {size} for argument "
                f"#2 'targets' {_CHECKING}"
            )
    result = _ctc(log_probs, targets.long(), inputs, labels, blank, reduction, bool(zero_infinity), width)
    return result.squeeze(0) if not batched and reduction == "none" else result


__all__ = ["ctc_loss"]
