"""Owns the block normal kernel: uniform words in, normal samples out, bit for bit torch's vectorised one on x86-64.

May import numpy, ``mt19937`` and ``rounds``; and ``block_program`` for many samples.
"""

from __future__ import annotations

import math

import numpy as np

from . import rounds
from .mt19937 import Engine, in_order

BLOCK = 16  # torch turns 16 uniforms into 16 normals: the first 8 give radii, the last 8 give angles
_CHUNK = 4096  # blocks per round: long enough that numpy's call overhead is small, short enough for the cache
_THREADED_CHUNK = 16384  # with threads: fewer hand-overs of the interpreter lock matter more


class _Constants:
    """Those of the Cephes library's logf, sinf and cosf; here float64 constants hold float32 values, because the
    arithmetic is that of fused multiply-adds on float32."""

    LOG = tuple(
        float(np.float32(c))
        for c in (
            7.0376836292e-2,
            -1.1514610310e-1,
            1.1676998740e-1,
            -1.2420140846e-1,
            1.4249322787e-1,
            -1.6668057665e-1,
            2.0000714765e-1,
            -2.4999993993e-1,
            3.3333331174e-1,
        )
    )
    LN2_LOW, LN2_HIGH = np.float32(-2.12194440e-4), np.float32(0.693359375)
    SQRT_HALF_BITS = np.int32(np.array(0.70710677, np.float32).view(np.int32))
    SIN = tuple(float(np.float32(c)) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
    COS = tuple(float(np.float32(c)) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
    PI4_A, PI4_B = np.float32(-0.78515625), np.float32(-2.4187564849853515625e-4)
    PI4_C = float(np.float32(-3.77489497744594108e-8))
    FOUR_OVER_PI = np.float32(1.27323954473516)
    ANGLE = np.float32(2 * math.pi) * np.float32(2.0**-24)


_C = _Constants
_f = np.float32


class _Scratch:
    """The temporary arrays of one round over ``n`` pairs."""

    def __init__(self, n: int):
        self.r, self.s, self.c, self.x, self.z = (np.empty(n, np.float32) for _ in range(5))
        self.i = np.empty(n, np.int32)
        self.t, self.u, self.v = (np.empty(n, np.float64) for _ in range(3))


def _narrow(wide: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, wide, casting="same_kind")


def _fma(y: np.ndarray, factor, add, t: np.ndarray) -> None:
    """``y = fma(y, factor, add)`` in float32; the product of two float32 values is exact in float64."""
    np.copyto(t, y)
    t *= factor
    t += add
    _narrow(t, y)


def _radius(m: _Scratch) -> None:
    """``m.r`` holds ``2**24 * u``; leave ``sqrt(-2 log u)`` there."""
    r, x, z, i, t, u, v = m.r, m.x, m.z, m.i, m.t, m.u, m.v
    bits = r.view(np.int32)
    # Split into exponent and a mantissa in [sqrt(1/2), sqrt(2)).
    np.subtract(bits, _C.SQRT_HALF_BITS, out=i)
    i >>= 23
    np.left_shift(i, 23, out=x.view(np.int32))
    bits -= x.view(np.int32)
    i -= 24
    np.subtract(r, _f(1), out=x)
    np.multiply(x, x, out=z)
    np.copyto(u, x)
    np.multiply(u, _C.LOG[0], out=t)
    t += _C.LOG[1]
    _narrow(t, r)
    for coefficient in _C.LOG[2:]:
        _fma(r, u, coefficient, t)
    r *= x
    exponent = m.s  # free until the angles are computed
    np.copyto(exponent, i, casting="unsafe")
    np.multiply(exponent, _C.LN2_LOW, out=m.c)
    np.copyto(u, z)
    np.copyto(v, m.c)
    _fma(r, u, v, t)
    z *= _f(0.5)
    r -= z
    r += x
    exponent *= _C.LN2_HIGH  # exact: few bits on either side, so fusing makes no difference
    r += exponent
    r *= _f(-2)
    np.sqrt(r, out=r)


def _sine_cosine(m: _Scratch) -> None:
    """``m.x`` holds ``2**24 * u``; leave the sine and cosine of ``2 pi u`` in ``m.s`` and ``m.c``."""
    s, c, x, z, j, t, u, v = m.s, m.c, m.x, m.z, m.i, m.t, m.u, m.v
    x *= _C.ANGLE
    np.multiply(x, _C.FOUR_OVER_PI, out=z)
    np.copyto(j, z, casting="unsafe")
    j += 1
    j &= -2
    np.copyto(z, j, casting="unsafe")
    np.multiply(z, _C.PI4_A, out=s)  # exact, as the next product
    x += s
    np.multiply(z, _C.PI4_B, out=s)
    x += s
    np.copyto(u, z)
    u *= _C.PI4_C
    np.copyto(t, x)
    t += u
    _narrow(t, x)
    np.multiply(x, x, out=z)
    np.copyto(u, z)
    # cosine: 1 - z/2 + z*z*(...)
    np.multiply(u, _C.COS[0], out=t)
    t += _C.COS[1]
    _narrow(t, c)
    _fma(c, u, _C.COS[2], t)
    c *= z
    np.multiply(u, -0.5, out=v)
    _fma(c, u, v, t)
    c += _f(1)
    # sine: x + x*z*(...)
    np.multiply(u, _C.SIN[0], out=t)
    t += _C.SIN[1]
    _narrow(t, s)
    _fma(s, u, _C.SIN[2], t)
    s *= z
    np.copyto(u, x)
    _fma(s, u, u, t)
    # Swap the two in odd quadrants, then set the signs: all on the bits, without a branch.
    si, ci, q, w = s.view(np.int32), c.view(np.int32), z.view(np.int32), x.view(np.int32)
    np.left_shift(j, 30, out=q)
    q >>= 31
    np.bitwise_xor(si, ci, out=w)
    w &= q
    si ^= w
    ci ^= w
    sign = np.int32(-(2**31))
    np.left_shift(j, 29, out=q)
    q &= sign
    si ^= q
    j += 2
    np.left_shift(j, 29, out=q)
    q &= sign
    ci ^= q


def _scale(y: np.ndarray, mean: np.float32, std: np.float32, t: np.ndarray) -> None:
    """``y = fma(y, std, mean)`` in float32."""
    if mean == 0:
        y *= std
        y += mean  # turns -0 into 0, as the fused form does
    else:
        _fma(y, float(std), float(mean), t)


def _transform(words: np.ndarray, out: np.ndarray, mean: np.float32, std: np.float32) -> None:
    """Normals from ``words`` (64-bit pairs, earlier word high, 8 pairs to a block) into ``out`` (float32)."""
    blocks = words.size // 8
    m = _Scratch(8 * blocks)
    words &= np.uint64(0x00FFFFFF00FFFFFF)
    in_order(words)
    # Column by column, so that every numpy loop is long; elementwise work does not care about the order.
    source, target = words.reshape(blocks, 8), out.view(np.uint64).reshape(blocks, 8)
    half = np.empty((4, blocks), np.uint64)
    k = half.reshape(-1).view(np.int32)
    for column in range(4):
        half[column] = source[:, column]
    np.subtract(np.int32(1 << 24), k, out=k)
    np.copyto(m.r, k, casting="unsafe")
    _radius(m)
    for column in range(4):
        half[column] = source[:, 4 + column]
    np.copyto(m.x, k, casting="unsafe")
    _sine_cosine(m)
    m.c *= m.r
    m.s *= m.r
    _scale(m.c, mean, std, m.t)
    _scale(m.s, mean, std, m.t)
    for first, result in ((0, m.c), (4, m.s)):
        rows = result.view(np.uint64).reshape(4, blocks)
        for column in range(4):
            target[:, first + column] = rows[column]


# Loading the program takes about as long as NumPy takes for so many samples.
_WORTHWHILE = 1 << 23
_done = 0


def _by_program(engine: Engine, out: np.ndarray, mean: np.float32, std: np.float32) -> int:
    """Fill the beginning of ``out`` by the XLA program, where that is worth it; returns how much."""
    global _done
    _done += out.size
    if _done < _WORTHWHILE:
        return 0
    from . import block_program

    start = 0
    for size in block_program.SIZES:
        while out.size - start >= size:
            out[start : start + size] = block_program.normals(engine.raw64(size // 2), mean, std, _C)
            start += size
    return start


def fill_float32(engine: Engine, out: np.ndarray, mean: float, std: float) -> None:
    """Fill ``out`` with normal samples, 16 words for every 16 elements.

    Args:
        engine: where the words come from.
        out: a contiguous float32 array whose size is a multiple of 16.
        mean: added to every sample.
        std: multiplies every sample.

    Example:
        >>> out = np.empty(16, np.float32)
        >>> fill_float32(Engine(0), out, 0.0, 1.0)
        >>> print(out[:2])
        [-1.1258398 -1.1523602]
    """
    mean32, std32 = _f(mean), _f(std)
    drawn = _by_program(engine, out, mean32, std32)
    rounds.fill(
        out[drawn:],
        lambda n: engine.raw64(n // 2),
        lambda words, part: _transform(words, part, mean32, std32),
        _CHUNK * BLOCK,
        _THREADED_CHUNK * BLOCK,
    )


def fill_float64(engine: Engine, out: np.ndarray, mean: float, std: float) -> None:
    """Fill ``out`` with normal samples, 16 pairs of words for every 16 elements.

    Args:
        engine: where the words come from.
        out: a contiguous float64 array whose size is a multiple of 16.
        mean: added to every sample.
        std: multiplies every sample.
    """

    def transform(words: np.ndarray, part: np.ndarray) -> None:
        blocks = part.reshape(-1, 2, 8)
        u = uniform53(words).reshape(blocks.shape)
        radius = np.sqrt(-2.0 * libm(math.log, 1.0 - u[:, 0]))
        angle = (2.0 * math.pi) * u[:, 1]
        blocks[:, 0] = fused(radius * np.cos(angle), std, mean)
        blocks[:, 1] = fused(radius * np.sin(angle), std, mean)

    rounds.fill(out, engine.raw64, transform, _CHUNK * BLOCK, _THREADED_CHUNK * BLOCK)


def uniform53(words: np.ndarray) -> np.ndarray:
    """Doubles in ``[0, 1)`` from the low 53 bits of 64-bit words."""
    return (words & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53


def libm(function, values: np.ndarray) -> np.ndarray:
    """``function`` of the ``math`` module over ``values``; numpy's own kernels differ from the C library's last bit."""
    return np.fromiter(map(function, values.ravel().tolist()), np.float64, values.size).reshape(values.shape)


def fused(a: np.ndarray, b: float, c: float) -> np.ndarray:
    """``a * b + c`` in float64 with one rounding, as a fused multiply-add gives it."""
    product = a * b
    if c == 0:
        return product + c
    total = product + c
    if not math.isfinite(b) or not math.isfinite(c) or abs(b) > 2.0**900:
        return total
    # Error-free product (Dekker) and sum (Knuth): total + error is the exact result.
    high, high_b = _split(a), float(_split(np.float64(b)))
    low, low_b = a - high, b - high_b
    error = ((high * high_b - product) + high * low_b + low * high_b) + low * low_b
    virtual = total - product
    error += (product - (total - virtual)) + (c - virtual)
    return np.where(np.isfinite(error), total + error, total)


def _split(a):
    scaled = a * 134217729.0
    return scaled - (scaled - a)
