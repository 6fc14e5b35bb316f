"""Owns Bessel and Airy functions, from their power series and Laplace integrals.

May import the door and jax.

Small arguments use the power series (DLMF 10.2.2, 10.8.1, 10.31.1, 9.4.1). The others use one integral for all
(DLMF 10.32.8), by the trapezoidal rule, which converges geometrically for such smooth, fast falling integrands:

    K_v(z) = sqrt(pi / 2z) exp(-z) / gamma(v + 1/2)
             * integral over t > 0 of exp(-t) t**(v - 1/2) (1 + t / 2z)**(v - 1/2)

At imaginary z it gives the Hankel function, hence J and Y (DLMF 10.27.8); at order 1/3 the Airy function (9.6.2,
9.6.6).
Everything is computed in double precision and rounded to the input's dtype.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from ._op import Array, op

# Where the series ends and the integral begins.
_SERIES = 2.5
_EULER = 0.577215664901532860606512090082402431


def _laplace(order, z):
    """``K_v(z) * exp(z)`` for orders 0, 1 and 1/3, and z of size above 1.7 in the right half plane.

    Substituting t = u**2 (u**6 for order 1/3) makes the integrand even and smooth in u.
    """
    power, step, count = (6, 0.05, 40) if order not in (0, 1) else (2, 0.2, 36)
    u = np.arange(count) * step
    t = u**power
    weights = power * u ** (power * (order + 0.5) - 1) * np.exp(-t) * step
    weights[0] = step if order == 0 else 0.0

    def add(total, item):
        node, weight = item
        return total + weight * (1 + node / (2 * z)) ** (order - 0.5), None

    total = jax.lax.scan(add, jnp.zeros_like(z), (jnp.asarray(t), jnp.asarray(weights)))[0]
    return jnp.sqrt(math.pi / (2 * z)) * total / math.gamma(order + 0.5)


def _hankel(order, x):
    """``J_v(x) + i Y_v(x)`` for x above the series."""
    z = -1j * x
    return 2 / (math.pi * 1j) * np.exp(-0.5j * math.pi * order) * _laplace(order, z) * jnp.exp(1j * x)


def _horner(coefficients, y):
    return jax.lax.scan(lambda total, c: (total * y + c, None), jnp.zeros_like(y), jnp.asarray(coefficients[::-1]))[0]


_TERMS = range(25)
_HARMONIC = [sum(1 / i for i in range(1, k + 1)) for k in range(27)]
# Of sum(c_k * (x*x/4)**k) for I_0 and I_1 * 2 / x; J has alternating signs.
_ZERO = [1 / math.factorial(k) ** 2 for k in _TERMS]
_ONE = [1 / (math.factorial(k) * math.factorial(k + 1)) for k in _TERMS]
_ZERO_H = [c * _HARMONIC[k] for k, c in enumerate(_ZERO)]
_ONE_H = [c * (_HARMONIC[k] + _HARMONIC[k + 1]) for k, c in enumerate(_ONE)]


def _split(x, small, large):
    """``small`` below the series' end, ``large`` above it, neither evaluated where it is not meant."""
    low = jnp.abs(x) < _SERIES
    return jnp.where(low, small(jnp.where(low, x, 1.0)), large(jnp.where(low, _SERIES, x)))


def _j(order):
    def function(x):
        size = jnp.abs(x)
        table = _ONE if order else _ZERO

        def small(x):
            value = _horner(table, -x * x / 4)
            return value * x / 2 if order else value

        out = _split(size, small, lambda x: _hankel(order, x).real)
        out = jnp.where(jnp.isinf(x), 0.0, out)
        return jnp.where(x < 0, -out, out) if order else out

    return function


def _y(order):
    def function(x):
        def small(x):
            q, log = -x * x / 4, jnp.log(x / 2)
            if order == 0:
                return 2 / math.pi * ((log + _EULER) * _horner(_ZERO, q) - _horner(_ZERO_H, q))
            regular = 2 * (log + _EULER) * _horner(_ONE, q) - _horner(_ONE_H, q)
            return (-2 / x + x / 2 * regular) / math.pi

        out = _split(jnp.where(x > 0, x, 1.0), small, lambda x: _hankel(order, x).imag)
        out = jnp.where(jnp.isinf(x), 0.0, out)
        return jnp.where(x > 0, out, jnp.where(x == 0, -jnp.inf, jnp.nan))

    return function


def _k(order, scaled):
    def function(x):
        def small(x):
            q, log = x * x / 4, jnp.log(x / 2)
            if order == 0:
                out = -(log + _EULER) * _horner(_ZERO, q) + _horner(_ZERO_H, q)
            else:
                out = 1 / x + x / 2 * ((log + _EULER) * _horner(_ONE, q) - _horner(_ONE_H, q) / 2)
            return out * jnp.exp(x) if scaled else out

        def large(x):
            out = _laplace(order, x)
            return out if scaled else out * jnp.exp(-x)

        out = _split(jnp.where(x > 0, x, 1.0), small, large)
        out = jnp.where(jnp.isinf(x), 0.0, out)
        return jnp.where(x > 0, out, jnp.where(x == 0, jnp.inf, jnp.nan))

    return function


# The two solutions of y'' = x y in powers of x**3, and their weights in Ai.
_AIRY_F, _AIRY_G = [1.0], [1.0]
for _n in range(1, 20):
    _AIRY_F.append(_AIRY_F[-1] / ((3 * _n) * (3 * _n - 1)))
    _AIRY_G.append(_AIRY_G[-1] / ((3 * _n) * (3 * _n + 1)))
_AI_0, _AI_1 = 3 ** (-2 / 3) / math.gamma(2 / 3), 3 ** (-1 / 3) / math.gamma(1 / 3)


def _airy(x):
    size = jnp.abs(x)
    third = 1 / 3

    def small(x):
        cube = x * x * x
        return _AI_0 * _horner(_AIRY_F, cube) - _AI_1 * x * _horner(_AIRY_G, cube)

    def right(x):
        bend = 2 / 3 * x * jnp.sqrt(x)
        return jnp.sqrt(x / 3) / math.pi * _laplace(third, bend) * jnp.exp(-bend)

    def left(x):
        hankel = _hankel(third, 2 / 3 * x * jnp.sqrt(x))
        return jnp.sqrt(x) / 3 * (hankel.real + (np.exp(1j * math.pi / 3) * hankel).real)

    near = size < _SERIES
    far = jnp.where(near, _SERIES, size)
    out = jnp.where(near, small(jnp.where(near, x, 0.0)), jnp.where(x > 0, right(far), left(far)))
    return jnp.where(jnp.isinf(x), 0.0, out)


def _spherical(x):
    zero = (x == 0) | jnp.isinf(x)
    safe = jnp.where(zero, 1.0, x)
    return jnp.where(zero, jnp.where(x == 0, 1.0, 0.0), jnp.sin(safe) / safe)


def _operator(name, f, doc):
    def fn(input: Array):
        return f(input.astype(jnp.float64)).astype(input.dtype)

    fn.__doc__ = doc
    return op(fn, name="special_" + name, method=False, promote="float")


airy_ai = _operator("airy_ai", _airy, "The Airy function Ai.")
bessel_j0 = _operator("bessel_j0", _j(0), "The Bessel function of the first kind, order 0.")
bessel_j1 = _operator("bessel_j1", _j(1), "The Bessel function of the first kind, order 1.")
bessel_y0 = _operator("bessel_y0", _y(0), "The Bessel function of the second kind, order 0.")
bessel_y1 = _operator("bessel_y1", _y(1), "The Bessel function of the second kind, order 1.")
modified_bessel_k0 = _operator("modified_bessel_k0", _k(0, False), "The modified Bessel function K, order 0.")
modified_bessel_k1 = _operator("modified_bessel_k1", _k(1, False), "The modified Bessel function K, order 1.")
scaled_modified_bessel_k0 = _operator("scaled_modified_bessel_k0", _k(0, True), "``exp(x)`` times K of order 0.")
scaled_modified_bessel_k1 = _operator("scaled_modified_bessel_k1", _k(1, True), "``exp(x)`` times K of order 1.")
spherical_bessel_j0 = _operator("spherical_bessel_j0", _spherical, "``sin(x) / x``.")
