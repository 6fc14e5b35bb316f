"""Owns the distributions that use a varying number of words a sample: Poisson, gamma, Dirichlet, binomial.

May import numpy and the other files of ``rushlight.random``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .box_muller import uniform53
from .checks import FLOAT32, FLOAT64, FLOATS, SMALLEST, require_kernel, rounded, scalar_name
from .mt19937 import Engine

_READ_AHEAD = 4096
_SINGLE_OR_DOUBLE = (FLOAT32, FLOAT64)


class _Stream:
    """Uniform doubles one at a time: read ahead on a copy, then the engine is advanced by what was used."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._ahead = engine.copy()
        self._buffer: list[float] = []
        self._used = 0  # of the buffer
        self._spent = 0  # in buffers that are used up
        self._normal = engine.next_double_normal

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *exc) -> None:
        left = self._spent + self._used
        while left:
            left -= self.engine.raw64(min(left, 1 << 20)).size
        self.engine.next_double_normal = self._normal

    def uniform(self) -> float:
        if self._used == len(self._buffer):
            self._spent += self._used
            size = 64 if not self._spent else _READ_AHEAD
            self._buffer, self._used = uniform53(self._ahead.raw64(size)).tolist(), 0
        self._used += 1
        return self._buffer[self._used - 1]

    def normal(self) -> float:
        if self._normal is not None:
            value, self._normal = self._normal, None
            return value
        first, second = self.uniform(), self.uniform()
        radius, angle = math.sqrt(-2.0 * math.log1p(-second)), 2.0 * math.pi * first
        self._normal = radius * math.sin(angle)
        return radius * math.cos(angle)


def _each(engine: Engine, sample: Callable[[_Stream, float], float], values: np.ndarray, dtype) -> np.ndarray:
    with _Stream(engine) as stream:
        drawn = [sample(stream, value) for value in values.ravel().tolist()]
    return rounded(np.array(drawn, np.float64), np.dtype(dtype)).reshape(values.shape)


def poisson(engine: Engine, rate: np.ndarray) -> np.ndarray:
    """Poisson counts, one for each rate, as ``torch.poisson`` gives them.

    Args:
        engine: advanced by as many words as the rejections need.
        rate: a floating array, none negative.

    Shape:
        That of ``rate``, with its dtype.

    Raises:
        RuntimeError: a rate is negative.
        NotImplementedError: ``rate`` is not floating.

    Example:
        >>> poisson(Engine(0), np.full(3, 4.0, np.float32)).shape
        (3,)
    """
    if rate.size:
        require_kernel("poisson_cpu", rate.dtype, FLOATS)
    return _each(engine, _poisson, rate.astype(np.float64), rate.dtype)


def _poisson(stream: _Stream, rate: float) -> float:
    if not rate >= 0:
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    if rate == 0:
        return 0.0
    if rate < 10:
        # Count the uniforms whose running product stays above exp(-rate).
        bound, product, count = math.exp(-rate), 1.0, 0
        while True:
            product *= stream.uniform()
            if product <= bound:
                return float(count)
            count += 1
    # Hoermann's transformed rejection (PTRS, 1993).
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    tight = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        distance = 0.5 - abs(u)
        if distance == 0:
            continue
        k = math.floor((2 * a / distance + b) * u + rate + 0.43)
        if distance >= 0.07 and v <= tight:
            return float(k)
        if k < 0 or (distance < 0.013 and v > distance):
            continue
        left = _log(v) + math.log(inverse_alpha) - math.log(a / (distance * distance) + b)
        if left <= -rate + k * math.log(rate) - math.lgamma(k + 1):
            return float(k)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def standard_gamma(engine: Engine, alpha: np.ndarray) -> np.ndarray:
    """Gamma samples of unit rate, one for each shape parameter, as ``torch._standard_gamma`` gives them.

    Args:
        engine: advanced by as many words as the rejections need; it also uses and leaves the cached normal sample.
        alpha: a float32 or float64 array.

    Shape:
        That of ``alpha``, with its dtype.

    Raises:
        NotImplementedError: ``alpha`` is neither float32 nor float64.

    Example:
        >>> standard_gamma(Engine(0), np.full(3, 2.0, np.float32)).shape
        (3,)
    """
    require_kernel("gamma_cpu", alpha.dtype, _SINGLE_OR_DOUBLE)
    scalar = alpha.dtype.type
    samples = _each(engine, lambda stream, value: _gamma(stream, scalar(value)), alpha, alpha.dtype)
    return np.maximum(scalar(SMALLEST[alpha.dtype]), samples)


_THIRD, _SQUEEZE = np.float32(1) / np.float32(3), float(np.float32(0.0331))


def _gamma(stream: _Stream, alpha) -> float:
    """Marsaglia and Tsang's method (2000); ``alpha`` is a numpy scalar, for the precision of the first steps."""
    one, scale = type(alpha)(1), 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = math.pow(1.0 - stream.uniform(), float(one / alpha))  # boosts the chance of acceptance
        alpha += one
    d = float(alpha - type(alpha)(_THIRD))
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = stream.normal()
        root = 1.0 + c * x
        if root <= 0:
            continue
        v = root * root * root
        u = 1.0 - stream.uniform()
        square = x * x
        if u < 1.0 - _SQUEEZE * square * square or math.log(u) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return scale * d * v


def dirichlet(engine: Engine, alpha: np.ndarray) -> np.ndarray:
    """Points of the simplex, one for each row of concentrations, as ``torch._sample_dirichlet`` gives them.

    Args:
        engine: advanced as ``standard_gamma`` advances it.
        alpha: a float32 or float64 array.

    Shape:
        That of ``alpha``, with its dtype; the last dimension sums to 1.

    Raises:
        NotImplementedError: ``alpha`` is neither float32 nor float64.

    Example:
        >>> dirichlet(Engine(0), np.ones((2, 3), np.float32)).shape
        (2, 3)
    """
    require_kernel("dirichlet", alpha.dtype, _SINGLE_OR_DOUBLE)
    scalar = alpha.dtype.type
    gamma = standard_gamma(engine, alpha.astype(np.float64))
    parts = rounded(gamma / gamma.sum(-1, keepdims=True), alpha.dtype)
    return np.clip(parts, scalar(SMALLEST[alpha.dtype]), np.nextafter(scalar(1), scalar(0)))


def binomial(engine: Engine, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Successes in ``count`` trials of chance ``prob``, as ``torch.binomial`` gives them.

    Args:
        engine: advanced by as many words as the rejections need.
        count: a float32 or float64 array.
        prob: an array of the same dtype; broadcasts with ``count``.

    Shape:
        The broadcast of the two.

    Raises:
        ValueError: ``count`` or ``prob`` is not floating, or holds NaN.
        RuntimeError: the dtypes differ.
        NotImplementedError: the dtype is neither float32 nor float64.

    Example:
        >>> binomial(Engine(0), np.full(3, 20.0), np.array(0.5)).shape
        (3,)
    """
    for name, array in (("count", count), ("prob", prob)):
        if array.dtype not in FLOATS:
            raise ValueError(
                f"binomial only supports floating-point dtypes for {name}, got: {scalar_name(array.dtype)}"
            )
    if count.dtype != prob.dtype:
        raise RuntimeError(f"Found dtype {scalar_name(prob.dtype)} but expected {scalar_name(count.dtype)}")
    require_kernel("binomial_cpu", count.dtype, _SINGLE_OR_DOUBLE)
    if np.isnan(count).any() or np.isnan(prob).any():
        raise ValueError("binomial expects count and prob to hold numbers, received NaN (torch never returns here)")
    counts, probs = np.broadcast_arrays(count, prob)
    with _Stream(engine) as stream:
        drawn = [_binomial(stream, n, p) for n, p in zip(counts.ravel(), probs.ravel())]
    return np.array(drawn, count.dtype).reshape(counts.shape)


def _binomial(stream: _Stream, count, prob) -> float:
    """One count; ``count`` and ``prob`` are numpy scalars, for the precision of the steps that torch takes in it."""
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return float(count)
    mirrored = prob > 0.5
    if mirrored:
        prob = type(prob)(1.0 - float(prob))
    few = count * prob < 10
    drawn = _by_inversion(stream, count, prob) if few else _by_rejection(stream, count, prob)
    return float(count) - drawn if mirrored else drawn


def _by_inversion(stream: _Stream, count, prob) -> float:
    """Add up waiting times until they exceed the number of trials."""
    log_failure = float(type(prob)(math.log1p(-float(prob))))
    waited, successes, limit = 0.0, 0, float(count)
    while True:
        ratio = _log(stream.uniform()) / log_failure
        waited += math.ceil(ratio) if math.isfinite(ratio) else ratio
        if waited > limit:
            return float(successes)
        successes += 1


def _tail(k: float) -> float:
    """What Stirling's formula for ``log k!`` leaves out."""
    if k <= 9:
        return math.lgamma(k + 1) - (0.5 * math.log(2 * math.pi) + (k + 0.5) * math.log(k + 1) - (k + 1))
    square = (k + 1) * (k + 1)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)


def _by_rejection(stream: _Stream, count, prob) -> float:
    """Hoermann's transformed rejection (BTRS, 1993)."""
    one = type(prob)(1)
    deviation = float(np.sqrt(count * prob * (one - prob)))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * float(prob)
    center = float(count * prob) + 0.5
    tight = 0.92 - 4.2 / b
    odds = float(prob / (one - prob))
    alpha = (2.83 + 5.1 / b) * deviation
    mode = float(np.floor((count + one) * prob))
    n = float(count)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        distance = 0.5 - abs(u)
        if distance == 0:
            continue
        k = float(type(prob)(math.floor((2 * a / distance + b) * u + center)))
        if k < 0 or k > n:
            continue
        if distance >= 0.07 and v <= tight:
            return k
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (odds * (n - mode + 1)))
            + (n + 1) * math.log((n - mode + 1) / (n - k + 1))
            + (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
            + (_tail(mode) + _tail(n - mode) - _tail(k) - _tail(n - k))
        )
        if _log(v * alpha / (a / (distance * distance) + b)) <= bound:
            return k
