"""Owns special functions of traced arrays with derivatives that jax lacks or gets wrong at some arguments.

May import only jax.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

# -- modified Bessel functions --------------------------------------------------------------------------------------

# jax differentiates their scaled forms through |x|, which gives a wrong derivative at 0.


@jax.custom_jvp
def bessel_i0(x):
    """The modified Bessel function of order 0, of a traced array."""
    return jax.scipy.special.i0(x)


@jax.custom_jvp
def bessel_i1(x):
    """The modified Bessel function of order 1, of a traced array."""
    return jax.scipy.special.i1(x)


@jax.custom_jvp
def bessel_i0e(x):
    """``exp(-|x|) * i0(x)`` of a traced array."""
    return jax.scipy.special.i0e(x)


@jax.custom_jvp
def bessel_i1e(x):
    """``exp(-|x|) * i1(x)`` of a traced array."""
    return jax.scipy.special.i1e(x)


def _over(value, x):
    """``value / x``, which tends to 1/2 at 0 for both functions of order 1."""
    return jnp.where(x == 0, 0.5, value / jnp.where(x == 0, 1, x)).astype(x.dtype)


bessel_i0.defjvps(lambda t, y, x: t * bessel_i1(x))
bessel_i1.defjvps(lambda t, y, x: t * (bessel_i0(x) - _over(y, x)))
bessel_i0e.defjvps(lambda t, y, x: t * (bessel_i1e(x) - jnp.sign(x) * y))
bessel_i1e.defjvps(lambda t, y, x: t * (bessel_i0e(x) - jnp.sign(x) * y - _over(y, x)))

# -- derivatives of the gamma function ------------------------------------------------------------------------------


@jax.custom_jvp
def zeta_of(x, q):
    """The Hurwitz zeta function of traced arrays; jax has it for positive ``q``, where the first terms lead to."""
    x, q = jnp.broadcast_arrays(x, q)
    pole = (x == 1) | ((q <= 0) & (q == jnp.floor(q)))
    q = jnp.where(pole | ~(q > -1e4), 1, q)
    steps = jnp.maximum(jnp.ceil(-q), 0)

    def add(state):
        k, total = state
        return k + 1, total + jnp.where(k < steps, (q + k) ** -x, 0)

    last = jnp.max(steps, initial=0)
    first = jax.lax.while_loop(lambda state: state[0] < last, add, (jnp.zeros_like(last), jnp.zeros_like(q)))[1]
    out = first + jax.scipy.special.zeta(x, q + steps)
    return jnp.where(x < 1, jnp.nan, jnp.where(pole, jnp.inf, out))


@functools.partial(zeta_of.defjvp, symbolic_zeros=True)
def _zeta_jvp(primals, tangents):
    (x, q), (dx, dq) = primals, tangents
    if not isinstance(dx, SymbolicZero):
        raise NotImplementedError("the derivative for 'self' is not implemented.")
    return zeta_of(x, q), dq * -x * zeta_of(x + 1, q)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def polygamma_of(n, x):
    """The ``n``-th derivative of digamma, of a traced array: by the Hurwitz zeta function (DLMF 25.11.12)."""
    if n == 0:
        return jnp.where(x == 0, jnp.copysign(jnp.inf, -x), jax.scipy.special.digamma(jnp.where(x == 0, 1, x)))
    wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
    out = (-1) ** (n + 1) * math.factorial(n) * zeta_of(jnp.asarray(n + 1, wide.dtype), wide)
    if n == 1:
        # The zeta function is not accurate on the left; psi'(x) + psi'(1 - x) = (pi / sin(pi x))**2.
        left = wide < 0.5
        mirror = zeta_of(jnp.asarray(2, wide.dtype), 1 - jnp.where(left, wide, 0))
        sine = jnp.sin(math.pi * jnp.where(left, wide - jnp.floor(wide), 0.5))
        out = jnp.where(left, (math.pi / sine) ** 2 - mirror, out)
    return out.astype(x.dtype)


@polygamma_of.defjvp
def _polygamma_jvp(n, primals, tangents):
    return polygamma_of(n, *primals), tangents[0] * polygamma_of(n + 1, *primals)
