"""Owns dropout as ``nn.functional`` spells it: with ``training`` and ``inplace``, by number of spatial dimensions.

May import the operators.
"""

from __future__ import annotations

import warnings

from ...ops import nn_dropout as ops


def dropout(input, p=0.5, training=True, inplace=False):
    """Zero each element with probability ``p`` and divide the rest by ``1 - p`` (Hinton et al. 2012).

    Raises:
        ValueError: ``p`` is not a probability.
    """
    return (ops.dropout_ if inplace else ops.dropout)(input, p, training)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps the mean and variance of SELU's output (Klambauer et al. 2017)."""
    return (ops.alpha_dropout_ if inplace else ops.alpha_dropout)(input, p, training)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Alpha dropout of whole channels."""
    return (ops.feature_alpha_dropout_ if inplace else ops.feature_alpha_dropout)(input, p, training)


def _channels(input, p, training, inplace, batched):
    if batched:
        return (ops.feature_dropout_ if inplace else ops.feature_dropout)(input, p, training)
    if not inplace:
        return ops.feature_dropout(input.unsqueeze(0), p, training).squeeze(0)
    ops.feature_dropout_(input.unsqueeze(0), p, training)
    return input


def dropout1d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of ``(C, L)`` or ``(N, C, L)``.

    Raises:
        RuntimeError: another number of dimensions.
    """
    ndim = input.dim()
    if ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {ndim}D input. Note that dropout1d exists to provide "
            "channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch "
            "dimension (i.e. 2D or 3D inputs)."
        )
    return _channels(input, p, training, inplace, ndim == 3)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of ``(N, C, H, W)``."""
    ndim = input.dim()
    if ndim not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {ndim}-D input to dropout2d, which is deprecated and will result in an error in a "
            "future release. To retain the behavior and silence this warning, please use dropout instead. Note that "
            "dropout2d exists to provide channel-wise dropout on inputs with 2 spatial dimensions, a channel "
            "dimension, and an optional batch dimension (i.e. 3D or 4D inputs).",
            stacklevel=2,
        )
    if ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is desired "
            "- input is interpreted as shape (N, C, L), where C is the channel dim. This behavior will change in a "
            "future release to interpret the input as one without a batch dimension, i.e. shape (C, H, W). To maintain "
            "the 1D channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _channels(input, p, training, inplace, True)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of ``(C, D, H, W)`` or ``(N, C, D, H, W)``."""
    ndim = input.dim()
    if ndim not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {ndim}-D input to dropout3d, which is deprecated and will result in an error in a "
            "future release. To retain the behavior and silence this warning, please use dropout instead. Note that "
            "dropout3d exists to provide channel-wise dropout on inputs with 3 spatial dimensions, a channel "
            "dimension, and an optional batch dimension (i.e. 4D or 5D inputs).",
            stacklevel=2,
        )
    return _channels(input, p, training, inplace, ndim != 4)
