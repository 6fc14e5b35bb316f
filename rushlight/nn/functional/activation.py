"""Owns the activation functions as ``nn.functional`` spells them: with ``inplace``, and with an implicit dimension.

May import the operators.
"""

from __future__ import annotations

import warnings

from ...ops import nn_activation as ops
from ...ops._op import in_place


def _with_inplace(function, name, *options):
    """A form of an activation that takes ``inplace`` as its last argument, as torch's does."""
    count = len(options)

    def activation(input, *args, inplace=False, **kwargs):
        if len(args) > count:
            *args, inplace = args
        result = function(input, *args, **kwargs)
        if not inplace:
            return result
        input._check_in_place()
        return in_place(input, result, name + "_")

    activation.__name__ = activation.__qualname__ = name
    listed = ", ".join(options) or "no options"
    activation.__doc__ = f"{function.__doc__}\n\n    Args:\n        {listed}; inplace: overwrite the input.\n    "
    return activation


relu = _with_inplace(ops.relu, "relu")
relu6 = _with_inplace(ops.relu6, "relu6")
elu = _with_inplace(ops.elu, "elu", "alpha")
selu = _with_inplace(ops.selu, "selu")
celu = _with_inplace(ops.celu, "celu", "alpha")
silu = _with_inplace(ops.silu, "silu")
mish = _with_inplace(ops.mish, "mish")
hardswish = _with_inplace(ops.hardswish, "hardswish")
hardsigmoid = _with_inplace(ops.hardsigmoid, "hardsigmoid")
leaky_relu = _with_inplace(ops.leaky_relu, "leaky_relu", "negative_slope")
rrelu = _with_inplace(ops.rrelu, "rrelu", "lower", "upper", "training")
threshold = _with_inplace(ops.threshold, "threshold", "threshold", "value")


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """``input`` limited to ``[min_val, max_val]``.

    Raises:
        ValueError: ``min_val > max_val``.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return ops.hardtanh_(input, min_val, max_val) if inplace else ops.hardtanh(input, min_val, max_val)


def glu(input, dim=-1):
    """The first half of a dimension times the sigmoid of the second.

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


def _dim(name, ndim):
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    """Exponentials along a dimension, divided by their sum.

    Args:
        dim: the dimension; leaving it out warns.
        dtype: convert to this first.
    """
    return input.softmax(_dim("softmax", input.dim()) if dim is None else dim, dtype=dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of ``softmax``, computed without overflow."""
    return input.log_softmax(_dim("log_softmax", input.dim()) if dim is None else dim, dtype=dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """``softmax(-input)``."""
    return (-input).softmax(_dim("softmin", input.dim()) if dim is None else dim, dtype=dtype)


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
