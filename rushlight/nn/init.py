"""Owns ``torch.nn.init``: the functions that give parameters their first values, drawn in torch's order.

May import the tensor cell, the modes, dtypes and creation; numbers are made on the host, so that no shape is compiled.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .._device import cpu
from .._graph.modes import no_grad
from .._tensor.overriding import asked
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor, to_device
from .._tensor.unread import LazyStorage, write_later
from ..ops.random import can_wait, randperm
from ..random.generator import Generator

# The largest numbers that all floating dtypes but the 8-bit ones can hold, and all integer dtypes.
_SAFE = {"f": 65504.0, "V": 65504.0, "i": 127, "u": 127}


def _put(tensor: Tensor, host: np.ndarray) -> Tensor:
    """Overwrite a tensor with a host array of its shape; its contents only, whatever the history."""
    with no_grad():
        tensor._check_in_place()
        tensor._write(to_device(host, tensor.device))
    return tensor


def _fill(tensor: Tensor, value: Any) -> Tensor:
    form = tensor._form()
    shape, d, kind = tuple(form.shape), form.dtype, form.dtype.kind
    plain = type(value) in (int, float) and 0 <= value <= _SAFE.get(kind, -1) and (kind == "i" or d.itemsize > 1)
    with no_grad():
        held = tensor._storage.__class__ in (Storage, LazyStorage)
        if plain and held and can_wait(tensor) and not asked(tensor):
            # Made when it is read: a checkpoint often takes its place before.
            tensor._check_in_place()
            write_later(tensor._storage, shape, d, lambda: to_device(np.full(shape, value, d), cpu))
            return tensor
        return tensor.fill_(value)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity asks initial weights to be scaled.

    Args:
        nonlinearity: its name in ``nn.functional``, or the name of a linear map.
        param: the negative slope of ``leaky_relu``; default 0.01.

    Raises:
        ValueError: an unknown name, or a slope that is no number.

    Example:
        >>> calculate_gain("leaky_relu", 1.0)
        1.0
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            param = 0.01
        elif isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + param**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
# The gain of selu was found by experiment, by torch's authors.
_GAINS = {**dict.fromkeys(_LINEAR, 1), "sigmoid": 1, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers in ``[a, b)``.

    Args:
        generator: where to draw; default: the default generator.

    Example:
        >>> import rushlight as torch
        >>> _ = torch.manual_seed(0)
        >>> uniform_(torch.empty(2))
        tensor([0.4963, 0.7682])
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers.

    Args:
        generator: where to draw; default: the default generator.

    Raises:
        RuntimeError: ``std`` is negative.
    """
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def _cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with normal numbers that lie in ``[a, b]``: what falls outside is drawn again.

    Args:
        mean, std: of the distribution before it is cut.
        a, b: the bounds.
        generator: where to draw; default: the default generator.

    Example:
        >>> import rushlight as torch
        >>> x = trunc_normal_(torch.empty(100), std=3.0)
        >>> bool(x.abs().max() <= 2)
        True
    """
    if tensor.is_meta:
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    with no_grad():
        if _cdf((b - mean) / std) - _cdf((a - mean) / std) > 0.3:
            return _redraw(tensor, mean, std, a, b, generator)
        return _reject(tensor, mean, std, a, b, generator)


def _redraw(tensor, mean, std, a, b, generator) -> Tensor:
    """Draw the whole tensor again until every element has had a value within the bounds."""
    d = tensor.dtype.np
    low, high = np.asarray(a, d), np.asarray(b, d)
    result = tensor.normal_(mean, std, generator=generator)._host()
    outside = (result < low) | (result > high)
    if not outside.any():
        return tensor
    again = tensor.new_empty(tensor.shape)
    while outside.any():
        result = np.where(outside, again.normal_(mean, std, generator=generator)._host(), result)
        outside = (result < low) | (result > high)
    return _put(tensor, result)


def _reject(tensor, mean, std, a, b, generator) -> Tensor:
    """Rejection sampling under the highest density within the bounds, for bounds in the tails."""
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    scratch = tensor.new_empty(tensor.shape)

    def refused(candidates: np.ndarray) -> np.ndarray:
        x = candidates
        # One rounding a step, as torch's in-place operators round.
        for step in (_minus(mean), _over(std), np.square, _times(-0.5), _minus(peak)):
            x = _rounded(step, x)
        with np.errstate(divide="ignore"):
            return _rounded(np.log, scratch.uniform_(generator=generator)._host()) > x

    result = tensor.uniform_(a, b, generator=generator)._host()
    pending = refused(result)
    if not pending.any():
        return tensor
    while pending.any():
        candidates = scratch.uniform_(a, b, generator=generator)._host()
        result = np.where(pending, candidates, result)
        pending &= refused(candidates)
    return _put(tensor, result)


def _minus(y: float) -> Callable:
    return lambda x: x - x.dtype.type(y)


def _over(y: float) -> Callable:
    return lambda x: x / x.dtype.type(y)


def _times(y: float) -> Callable:
    return lambda x: x * x.dtype.type(y)


def _rounded(step: Callable, x: np.ndarray) -> np.ndarray:
    """One arithmetic step: 16-bit floats compute in float32 and round once."""
    return step(x.astype(np.float32)).astype(x.dtype) if x.dtype.itemsize < 4 else step(x)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with ``val``."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return _fill(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    if asked(tensor):
        with no_grad():
            return tensor.zero_()
    return _fill(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity: as many inputs as possible pass through.

    Raises:
        ValueError: not two dimensions.

    Example:
        >>> import rushlight as torch
        >>> eye_(torch.empty(2, 3))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
    """
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return tensor if tensor.is_meta else _put(tensor, np.eye(*tensor.shape, dtype=tensor.dtype.np))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight of a convolution so that it passes on as many input channels as possible.

    Args:
        groups: that of the convolution; each group of channels passes through.

    Shape: 3, 4 or 5 dimensions.

    Raises:
        ValueError: another number of dimensions, or channels that ``groups`` does not divide.

    Example:
        >>> import rushlight as torch
        >>> dirac_(torch.empty(2, 1, 3), groups=2)
        tensor([[[0., 1., 0.]],
        <BLANKLINE>
                [[0., 1., 0.]]])
    """
    if tensor.ndimension() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    out, inner, *kernel = tensor.shape
    if out % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    if tensor.is_meta:
        return tensor
    host = np.zeros(tensor.shape, tensor.dtype.np)
    channel = np.arange(min(out // groups, inner))
    for group in range(groups):
        host[(group * (out // groups) + channel, channel, *(n // 2 for n in kernel))] = 1
    return _put(tensor, host)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output depends on, and how many outputs one input reaches.

    Raises:
        ValueError: fewer than two dimensions.
    """
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    modes = ["fan_in", "fan_out"]
    if mode not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode)]


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers of variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    Args:
        gain: see ``calculate_gain``.
        generator: where to draw; default: the default generator.

    Raises:
        ValueError: fewer than two dimensions.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance ``2 gain**2 / (fan_in + fan_out)`` (Glorot & Bengio 2010).

    Args:
        gain: see ``calculate_gain``.
        generator: where to draw; default: the default generator.

    Raises:
        ValueError: fewer than two dimensions.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with uniform numbers of variance ``gain**2 / fan`` (He et al. 2015).

    Args:
        a: the negative slope of the leaky ReLU that follows.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: see ``calculate_gain``.
        generator: where to draw; default: the default generator.

    Raises:
        ValueError: an unknown mode or nonlinearity, or fewer than two dimensions.

    Example:
        >>> import rushlight as torch
        >>> bool(kaiming_uniform_(torch.empty(4, 6), nonlinearity="relu").abs().max() <= 1)
        True
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Fill with normal numbers of variance ``gain**2 / fan`` (He et al. 2015).

    Args:
        a: the negative slope of the leaky ReLU that follows.
        mode: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` in the backward pass.
        nonlinearity: see ``calculate_gain``.
        generator: where to draw; default: the default generator.

    Raises:
        ValueError: an unknown mode or nonlinearity, or fewer than two dimensions.
    """
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a matrix whose rows or columns are orthonormal, times ``gain`` (Saxe et al. 2013).

    Args:
        gain: see ``calculate_gain``.
        generator: where to draw; default: the default generator.

    Shape: two or more dimensions; those after the first count as one.

    Raises:
        ValueError: fewer than two dimensions.

    Example:
        >>> import rushlight as torch
        >>> w = orthogonal_(torch.empty(3, 5))
        >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-6)
        True
    """
    if tensor.ndimension() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    rows = tensor.size(0)
    with no_grad():
        flat = tensor.new_empty((rows, tensor.numel() // rows)).normal_(0, 1, generator=generator)._host()
        if flat.dtype.itemsize < 4:
            raise NotImplementedError(
                f"\"geqrf_cpu\" not implemented for '{type_of(tensor)}'. Initialize in float32 and convert with .to()."
            )
        wide = flat.shape[0] < flat.shape[1]
        q, r = np.linalg.qr(flat.T if wide else flat)
        # The signs of r's diagonal make q uniform over all orthogonal matrices (Mezzadri 2007).
        q = (q * np.sign(np.diag(r))).astype(flat.dtype)
        host = (q.T if wide else q) * flat.dtype.type(gain)
    return _put(tensor, np.ascontiguousarray(host).reshape(tensor.shape))


def type_of(tensor: Tensor) -> str:
    """torch's C++ name of a tensor's dtype."""
    from ..ops._execute import scalar_name

    return scalar_name(tensor.dtype)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix with normal numbers, and zero a fraction of each column (Martens 2010).

    Args:
        sparsity: the fraction.
        std: the standard deviation of the numbers that stay.
        generator: where to draw the numbers; the rows to zero come from the default generator, as in torch.

    Raises:
        ValueError: not two dimensions.
    """
    if tensor.ndimension() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    if tensor.is_meta:
        return tensor
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        host = np.array(tensor.normal_(0, std, generator=generator)._host())
        for column in range(columns):
            host[randperm(rows)._host()[:zeros], column] = 0
    return _put(tensor, host)


def _deprecated(function: Callable) -> Callable:
    """The function under its old name, without the underscore, with torch's warning."""
    new = function.__name__
    old = new[:-1]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = old
    call.__doc__ = f"Deprecated: the old name of ``{new}``."
    return call


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

__all__ = [
    "calculate_gain", "constant", "constant_", "dirac", "dirac_", "eye", "eye_", "kaiming_normal", "kaiming_normal_",
    "kaiming_uniform", "kaiming_uniform_", "normal", "normal_", "ones_", "orthogonal", "orthogonal_", "sparse",
    "sparse_", "trunc_normal_", "uniform", "uniform_", "xavier_normal", "xavier_normal_", "xavier_uniform",
    "xavier_uniform_", "zeros_",
]  # fmt: skip
