"""Owns the orthogonal polynomials of ``torch.special``, by their three-term recurrences.

May import the door and jax.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from ._op import Array, op


def _recurrence(x, n, first, step):
    """``p_n(x)``, where p_0 = 1, p_1 = ``first`` and ``step(k, x, p_k, p_k-1)`` gives p_k+1."""

    def body(k, held):
        before, now, kept = held
        after = step(k, x, now, before)
        return now, after, jnp.where(n == k + 1, after, kept)

    kept = jnp.where(n == 0, 1, first)
    start = jnp.ones_like(x), first, kept
    last = jnp.max(n, initial=1)
    kept = jax.lax.fori_loop(1, last, body, start)[2]
    return jnp.where(n < 0, 0, kept)


def _chebyshev(x, n, first, angle):
    out = _recurrence(x, n, first, lambda k, x, now, before: 2 * x * now - before)
    # The recurrence loses digits as n grows; inside (-1, 1) there is a closed form.
    inside = (n > 6) & (jnp.abs(x) < 1)
    return jnp.where(inside, angle(jnp.arccos(jnp.where(inside, x, 0)), n), out)


def _t(x, n):
    return _chebyshev(x, n, x, lambda a, n: jnp.cos(n * a))


def _u(x, n):
    return _chebyshev(x, n, 2 * x, lambda a, n: jnp.sin((n + 1) * a) / jnp.sin(a))


def _v(x, n):
    return _chebyshev(x, n, 2 * x - 1, lambda a, n: jnp.cos((n + 0.5) * a) / jnp.cos(a / 2))


def _w(x, n):
    return _chebyshev(x, n, 2 * x + 1, lambda a, n: jnp.sin((n + 0.5) * a) / jnp.sin(a / 2))


def _hermite(x, n, factor):
    return _recurrence(x, n, factor * x, lambda k, x, now, before: factor * (x * now - k * before))


def _laguerre(x, n):
    return _recurrence(x, n, 1 - x, lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1))


def _legendre(x, n):
    return _recurrence(x, n, x, lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1))


def _polynomial(name, f, doc, shifted=False):
    def fn(input: Array, n: Array):
        x, degree = jnp.broadcast_arrays(input, n)
        wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
        wide = 2 * wide - 1 if shifted else wide
        return f(wide, jax.lax.stop_gradient(degree).astype(jnp.int64)).astype(x.dtype)

    fn.__doc__ = f"{doc}{', on [0, 1]' if shifted else ''}, of degree ``n``."
    return op(fn, name="special_" + name, method=False, promote="float", differentiable=False, numbers=("input", "n"))


_KINDS = {"t": _t, "u": _u, "v": _v, "w": _w}
chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _polynomial(f"chebyshev_polynomial_{k}", f, f"The Chebyshev polynomial {k.upper()}") for k, f in _KINDS.items()
)
(
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
) = (
    _polynomial(f"shifted_chebyshev_polynomial_{k}", f, f"The Chebyshev polynomial {k.upper()}", True)
    for k, f in _KINDS.items()
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h", functools.partial(_hermite, factor=2), "The physicist's Hermite polynomial"
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he", functools.partial(_hermite, factor=1), "The probabilist's Hermite polynomial"
)
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", _laguerre, "The Laguerre polynomial")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", _legendre, "The Legendre polynomial")
