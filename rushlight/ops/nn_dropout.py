"""Owns dropout in all its forms, with torch's random stream.

May import the door, the random operators and jax.
"""

from __future__ import annotations

from ._execute import in_place
from ._op import Array, Number, op
from .creation import empty, empty_like
from .random import memory_order

_ALPHA = 1.7580993408473766  # minus SELU's value at minus infinity


@op(name="dropout", method=False)
def _scaled(input: Array, noise: Array, keep: Number):
    return input * (noise / keep).astype(input.dtype)


@op(name="alpha_dropout", method=False)
def _affine(input: Array, noise: Array, a: Number, b: Number):
    # Dropped values become SELU's lower limit; a and b restore mean and variance.
    shift = (noise - 1) * (_ALPHA * a) + b
    return (input * (noise * a) + shift).astype(input.dtype)


def _check(p):
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _noise(input, p, feature):
    if not feature:
        order = memory_order(input)
        if order is None:
            return empty_like(input).bernoulli_(1 - p)
        # torch draws in the order of memory, which is not that of the dimensions in a transposed tensor.
        drawn = empty([input.size(i) for i in order], dtype=input.dtype, device=input.device).bernoulli_(1 - p)
        return drawn.permute([order.index(i) for i in range(len(order))])
    shape = input._array().shape
    if len(shape) < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    size = (*shape[:2], *(1 for _ in shape[2:]))
    return empty(size, dtype=input.dtype, device=input.device).bernoulli_(1 - p)


def _drop(input, p, train, feature, alpha):
    _check(p)
    if p == 0 or not train or input._array().size == 0:
        return input
    if p == 1:
        return input * 0.0
    noise = _noise(input, p, feature)
    if not alpha:
        return _scaled(input, noise, 1 - p)
    a = 1.0 / ((_ALPHA**2 * p + 1) * (1 - p)) ** 0.5
    return _affine(input, noise, a, _ALPHA * a * p)


def _family(name, feature, alpha, what):
    def drop(input, p, train):
        return _drop(input, p, train, feature, alpha)

    def drop_(input, p, train):
        result = _drop(input, p, train, feature, alpha)
        return input if result is input else in_place(input, result, name + "_")

    drop.__name__ = drop.__qualname__ = name
    drop.__doc__ = f"""{what}

    Args:
        p: the probability of dropping.
        train: False returns the input.

    Raises:
        ValueError: ``p`` is not a probability.
    """
    drop_.__name__ = drop_.__qualname__ = name + "_"
    drop_.__doc__ = f"In-place form of ``{name}``."
    return drop, drop_


dropout, dropout_ = _family("dropout", False, False, "Zero elements at random and scale up the rest.")
feature_dropout, feature_dropout_ = _family("feature_dropout", True, False, "Zero whole channels at random.")
alpha_dropout, alpha_dropout_ = _family("alpha_dropout", False, True, "Dropout that keeps SELU's mean and variance.")
feature_alpha_dropout, feature_alpha_dropout_ = _family(
    "feature_alpha_dropout", True, True, "Alpha dropout of whole channels."
)

__all__ = [
    "alpha_dropout", "alpha_dropout_", "dropout", "dropout_", "feature_alpha_dropout", "feature_alpha_dropout_",
    "feature_dropout", "feature_dropout_",
]  # fmt: skip
