"""Owns the normalisations with the argument order of ``nn.functional``.

May import the operators.
"""

from __future__ import annotations

from ...ops import nn_norm as ops
from ...ops.nn_norm import local_response_norm, rms_norm


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):  # fmt: skip
    """Standardise each channel over the batch and all positions, then scale and shift (Ioffe & Szegedy 2015).

    Args:
        running_mean, running_var: used as they are, or, while training, updated in place; may be None while training.
        momentum: the share of the new statistics in the update.

    Shape:
        input ``(N, C, *)``; statistics, weight and bias ``(C,)``.

    Raises:
        ValueError: one value per channel while training.
        RuntimeError: the sizes do not fit.
    """
    return ops.batch_norm_with(input, weight, bias, running_mean, running_var, training, momentum, eps)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    """Standardise each channel of each sample (Ulyanov et al. 2016).

    Shape:
        input ``(N, C, *)``; statistics, weight and bias ``(C,)``.

    Raises:
        ValueError: one position per channel.
    """
    return ops.instance_norm_with(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Standardise over the last dimensions, then scale and shift elementwise (Ba et al. 2016).

    Raises:
        RuntimeError: the shapes do not fit.
    """
    return ops.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Standardise each group of channels of each sample (Wu & He 2018).

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return ops.group_norm(input, num_groups, weight, bias, eps)


__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]
