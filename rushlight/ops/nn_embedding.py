"""Owns table lookup: embedding, bags of embeddings, and one-hot coding.

May import the door, nn_common and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from .._errors import not_supported
from .._graph.modes import no_grad, state
from ._op import Array, Number, op
from .creation import arange
from .nn_common import concrete


def _rows(weight, index):
    return jnp.take(weight, index, axis=0, mode="clip")


@op(name="embedding", method=False)
def _embedding(weight: Array, indices: Array, padding, scale_by_freq):
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    out = _rows(weight, indices)
    if padding is not None and padding >= 0:
        # Both branches are equal; only the derivative at the padding row is cut off.
        out = jnp.where((indices == padding)[..., None], lax.stop_gradient(out), out)
    if scale_by_freq:
        flat = indices.reshape(-1)
        counts = jnp.zeros(weight.shape[0], weight.dtype).at[flat].add(1)
        share = (1 / counts[flat]).reshape(*indices.shape, 1)
        still = lax.stop_gradient(out)
        out = still + share * (out - still)
    return out


def check_indices(indices, rows: int, function: str) -> None:
    """Refuse index dtypes, and values out of range where they are at hand.

    Raises:
        RuntimeError: not int64 or int32.
        IndexError: out of range.
    """
    if indices._array().dtype not in (jnp.int64, jnp.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{indices.type()} instead (while checking arguments for {function})"
        )
    host = concrete(indices)
    if host is not None and host.size and (host.min() < 0 or host.max() >= rows):
        raise IndexError("index out of range in self")


def _refuse_sparse(weight, name):
    """Refuse ``sparse=True`` where it would mean something: for a gradient.

    Raises:
        NotImplementedError: naming the alternative.
    """
    if state.grad and weight.requires_grad:
        raise not_supported(
            f"{name}(sparse=True) with a weight that requires grad", "Use sparse=False: gradients are dense arrays."
        )


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """Rows of ``weight``, with the argument order of ``torch.embedding``."""
    if sparse:
        _refuse_sparse(weight, "embedding")
    shape = weight._array().shape
    if len(shape) != 2:
        raise RuntimeError("'weight' must be 2-D")
    check_indices(indices, shape[0], "embedding")
    return _embedding(weight, indices, padding_idx, bool(scale_grad_by_freq))


@op(name="embedding_renorm", method=False, differentiable=False)
def _renorm(weight: Array, indices: Array, max_norm: Number, norm_type):
    used = jnp.zeros(weight.shape[0], bool).at[indices.reshape(-1)].set(True)
    norm = jnp.linalg.norm(weight, ord=norm_type, axis=1)
    factor = jnp.where(used & (norm > max_norm), max_norm / (norm + 1e-7), 1)
    return (weight * factor[:, None]).astype(weight.dtype)


def embedding_renorm_(weight, indices, max_norm, norm_type):
    """Shorten, in place, those rows among ``indices`` whose norm exceeds ``max_norm``."""
    check_indices(indices, weight._array().shape[0], "embedding_renorm_")
    with no_grad():
        weight._assign(_renorm(weight, indices, float(max_norm), float(norm_type)))
    return weight


@op(name="embedding_bag", method=False)
def _embedding_bag(weight: Array, indices: Array, bags: Array, scales: Array | None, count, mode, padding, freq):
    rows = _embedding.fn(weight, indices, padding, freq)
    kept = jnp.ones(indices.shape, bool) if padding is None else indices != padding
    sizes = jnp.zeros(count, weight.dtype).at[bags].add(kept.astype(weight.dtype))
    if mode == "max":
        least = jnp.array(-jnp.inf, weight.dtype)
        out = jax.ops.segment_max(jnp.where(kept[:, None], rows, least), bags, num_segments=count)
        return jnp.where((sizes > 0)[:, None], out, 0)
    factor = kept.astype(weight.dtype) if scales is None else jnp.where(kept, scales, 0)
    out = jnp.zeros((count, weight.shape[1]), weight.dtype).at[bags].add(rows * factor[:, None])
    return out / jnp.maximum(sizes, 1)[:, None] if mode == "mean" else out


def embedding_bag(
    weight, indices, offsets=None, scale_grad_by_freq=False, mode="mean", sparse=False, per_sample_weights=None,
    include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """Sums, means or maxima of embedding rows; see ``nn.functional.embedding_bag``.

    Raises:
        ValueError: input and offsets do not fit together, or the mode is unknown.
        NotImplementedError: ``sparse=True``, or weights with a mode other than ``"sum"``.
    """
    if sparse:
        _refuse_sparse(weight, "embedding_bag")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )
    shape = indices._array().shape
    check_indices(indices, weight._array().shape[0], "embedding_bag")
    if len(shape) == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        count, bags = shape[0], arange(shape[0]).unsqueeze(1).expand(*shape).reshape(-1)
        indices = indices.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif len(shape) == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        count = offsets._array().shape[0] - bool(include_last_offset)
        bags = _bag_of(offsets, shape[0], count)
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {len(shape)}")
    return _embedding_bag(
        weight, indices, bags, per_sample_weights, count, mode, padding_idx, bool(scale_grad_by_freq)
    )  # fmt: skip


@op(name="bag_of", method=False, differentiable=False)
def _bag_of(offsets: Array, length, count):
    return jnp.searchsorted(offsets[:count], jnp.arange(length), side="right") - 1


@op(name="one_hot", method=False, differentiable=False)
def _one_hot(input: Array, classes):
    return (input[..., None] == jnp.arange(classes)).astype(jnp.int64)


def one_hot(tensor, num_classes=-1):
    """Zeros with a one at the index given, in a new last dimension.

    Args:
        num_classes: its size; -1 takes the largest index plus one.

    Raises:
        RuntimeError: not int64, negative, or not smaller than ``num_classes``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.functional.one_hot(torch.tensor([0, 2]))
        tensor([[1, 0, 0],
                [0, 0, 1]])
    """
    array = tensor._array()
    if array.dtype != jnp.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if array.size == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    host = concrete(tensor)
    if host is not None and host.size:
        if host.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = int(host.max()) + 1
        elif host.max() >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    elif num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    return _one_hot(tensor, num_classes)


__all__ = ["embedding", "embedding_renorm_"]
