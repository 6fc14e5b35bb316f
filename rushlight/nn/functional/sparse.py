"""Owns table lookups with the argument order of ``nn.functional``.

May import the operators.
"""

from __future__ import annotations

from ...ops import nn_embedding as ops
from ...ops.nn_embedding import one_hot


def _padding(padding_idx, shape):
    if padding_idx is None or not shape:
        return -1
    rows = shape[0]
    if padding_idx > 0:
        assert padding_idx < rows, "Padding_idx must be within num_embeddings"
    elif padding_idx < 0:
        assert padding_idx >= -rows, "Padding_idx must be within num_embeddings"
        padding_idx += rows
    return padding_idx


def embedding(
    input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
):  # fmt: skip
    """The rows of ``weight`` that ``input`` names.

    Args:
        padding_idx: a row that receives no gradient.
        max_norm: rows used are first shortened, in place, to this norm.
        norm_type: which norm that is.
        scale_grad_by_freq: divide gradients by how often a row occurs.

    Shape:
        input ``(*)`` of int64 or int32, weight ``(V, D)``; result ``(*, D)``.

    Raises:
        IndexError: an index out of range.
        NotImplementedError: ``sparse=True``; gradients are dense.
    """
    padding_idx = _padding(padding_idx, weight._array().shape)
    if max_norm is not None:
        ops.embedding_renorm_(weight, input, max_norm, norm_type)
    return ops.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)


def embedding_bag(
    input, weight, offsets=None, max_norm=None, norm_type: float = 2, scale_grad_by_freq=False, mode="mean",
    sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=None,
):  # fmt: skip
    """The sum, mean or maximum of the rows of each bag.

    Args:
        offsets: where each bag starts in a one-dimensional ``input``.
        per_sample_weights: factors for the sum.
        include_last_offset: the last offset is the end of the last bag.
        padding_idx: rows that do not count.

    Shape:
        input ``(B, N)``, or ``(N,)`` with offsets ``(B,)``; result ``(B, D)``.

    Raises:
        ValueError: input and offsets do not fit together, or an unknown mode.
    """
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the "
            f"same shape as the input ({input.shape})"
        )
    padding = None if padding_idx is None else _padding(padding_idx, weight._array().shape)
    if max_norm is not None:
        ops.embedding_renorm_(weight, input, max_norm, norm_type)
    return ops.embedding_bag(
        weight, input, offsets, scale_grad_by_freq, mode, sparse, per_sample_weights, include_last_offset, padding
    )


__all__ = ["embedding", "embedding_bag", "one_hot"]
