"""Owns the activation functions as ``nn.functional`` spells them: with ``inplace``, and with an implicit dimension.

May import the operators.
"""

from __future__ import annotations

import warnings

from ...ops import nn_activation as ops


def relu(input, inplace=False):
    """``max(input, 0)``; ``inplace`` overwrites the input."""
    return ops.relu_(input) if inplace else ops.relu(input)


def relu6(input, inplace=False):
    """``min(max(input, 0), 6)``."""
    return ops.relu6_(input) if inplace else ops.relu6(input)


def elu(input, alpha=1.0, inplace=False):
    """``input`` where positive, else ``alpha * (exp(input) - 1)`` (Clevert et al. 2015)."""
    return ops.elu_(input, alpha) if inplace else ops.elu(input, alpha)


def selu(input, inplace=False):
    """The self-normalising ELU (Klambauer et al. 2017)."""
    return ops.selu_(input) if inplace else ops.selu(input)


def celu(input, alpha=1.0, inplace=False):
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron 2017)."""
    return ops.celu_(input, alpha) if inplace else ops.celu(input, alpha)


def silu(input, inplace=False):
    """``input * sigmoid(input)``."""
    return ops.silu_(input) if inplace else ops.silu(input)


def mish(input, inplace=False):
    """``input * tanh(softplus(input))`` (Misra 2019)."""
    return ops.mish_(input) if inplace else ops.mish(input)


def hardswish(input, inplace=False):
    """``input * relu6(input + 3) / 6`` (Howard et al. 2019)."""
    return ops.hardswish_(input) if inplace else ops.hardswish(input)


def hardsigmoid(input, inplace=False):
    """``relu6(input + 3) / 6``."""
    return ops.hardsigmoid_(input) if inplace else ops.hardsigmoid(input)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """``input`` where positive, else ``negative_slope * input``."""
    return ops.leaky_relu_(input, negative_slope) if inplace else ops.leaky_relu(input, negative_slope)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """Leaky ReLU with a random slope for each negative element while training (Xu et al. 2015).

    Raises:
        RuntimeError: ``lower > upper``.
    """
    return (ops.rrelu_ if inplace else ops.rrelu)(input, lower, upper, training)


def threshold(input, threshold, value, inplace=False):
    """``input`` where it is greater than ``threshold``, else ``value``."""
    return (ops.threshold_ if inplace else ops.threshold)(input, threshold, value)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """``input`` limited to ``[min_val, max_val]``.

    Raises:
        ValueError: ``min_val > max_val``.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return (ops.hardtanh_ if inplace else ops.hardtanh)(input, min_val, max_val)


def glu(input, dim=-1):
    """The first half of a dimension times the sigmoid of the second (Dauphin et al. 2016).

    Raises:
        RuntimeError: no dimensions, or an odd one.
    """
    return ops.glu(input, dim)


def sigmoid(input):
    """``1 / (1 + exp(-input))``."""
    return input.sigmoid()


def tanh(input):
    """The hyperbolic tangent."""
    return input.tanh()


def _dim(name, ndim, stacklevel):
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """Exponentials along a dimension, divided by their sum.

    Args:
        dim: the dimension; leaving it out warns.
        dtype: convert to this first.
    """
    return input.softmax(_dim("softmax", input.dim(), _stacklevel) if dim is None else dim, dtype=dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of ``softmax``, computed without overflow."""
    return input.log_softmax(_dim("log_softmax", input.dim(), _stacklevel) if dim is None else dim, dtype=dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """``softmax(-input)``."""
    return (-input).softmax(_dim("softmin", input.dim(), _stacklevel) if dim is None else dim, dtype=dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample from the Gumbel-softmax distribution (Jang et al. 2016).

    Args:
        tau: temperature.
        hard: give one-hot vectors, with the derivative of the soft ones.
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    from ...ops.creation import empty_like, zeros_like

    noise = -empty_like(logits).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return zeros_like(logits).scatter_(dim, index, 1.0) - soft.detach() + soft
