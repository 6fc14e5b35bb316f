"""Owns the special functions of ``torch.special`` that build on gamma functions, error functions and logarithms.

May import the unary and pairwise operators, the door and jax.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax.scipy import special

from . import reduce
from ._op import Array, attach, in_place_form, op
from ._special import bessel_i0, bessel_i0e, bessel_i1, bessel_i1e, polygamma_of, zeta_of


def _own(name, f, doc):
    """An operator of one tensor that is neither a method nor in place."""

    def fn(input: Array):
        return f(input)

    fn.__doc__ = doc
    return op(fn, name="special_" + name, method=False, promote="float", numbers=())


def _entropy(x):
    inside = -x * jnp.log(jnp.where(x > 0, x, 1))
    return jnp.where(jnp.isnan(x), x, jnp.where(x > 0, inside, jnp.where(x == 0, 0.0, -jnp.inf)))


entr = _own("entr", _entropy, "``-x * log(x)``; 0 at 0, -inf below.")
ndtr = _own("ndtr", special.ndtr, "The area under the standard normal density up to x.")
ndtri = _own("ndtri", special.ndtri, "The x up to which the area under the standard normal density is ``input``.")
log_ndtr = _own("log_ndtr", special.log_ndtr, "The logarithm of ``ndtr``, accurate far to the left.")
erfcx = _own("erfcx", special.erfcx, "``exp(x**2) * erfc(x)``, without overflow.")
i0e = _own("i0e", bessel_i0e, "``exp(-|x|) * i0(x)``.")
i1 = _own("i1", bessel_i1, "The modified Bessel function of the first kind, order 1.")
i1e = _own("i1e", bessel_i1e, "``exp(-|x|) * i1(x)``.")
modified_bessel_i0 = _own("modified_bessel_i0", bessel_i0, "The modified Bessel function of the first kind, order 0.")
modified_bessel_i1 = _own("modified_bessel_i1", bessel_i1, "The modified Bessel function of the first kind, order 1.")


def _pair(name, f, doc, method=False):
    def fn(input: Array, other: Array):
        return f(input, other)

    fn.__doc__ = doc
    numbers = () if method else ("input", "other")
    return op(fn, name=name, method=method, promote="float", inplace=bool(method), numbers=numbers)


def _xlog1py(x, y):
    return jnp.where((x == 0) & ~jnp.isnan(y), 0.0, x * jnp.log1p(jnp.where(x == 0, 0.0, y)))


xlog1py = _pair("special_xlog1py", _xlog1py, "``input * log1p(other)``; 0 where ``input`` is 0.")
zeta = _pair("special_zeta", zeta_of, "The Hurwitz zeta function: the sum of ``(k + other) ** -input``.")
igamma = _pair("igamma", special.gammainc, "The regularized lower incomplete gamma function.", True)
igammac = _pair("igammac", special.gammaincc, "The regularized upper incomplete gamma function.", True)
gammainc, gammaincc = igamma, igammac


@op(name="polygamma", method=False, promote="float")
def _polygamma(input: Array, n):
    return polygamma_of(n, input)


def polygamma(n, input, *, out=None):
    """The ``n``-th derivative of the digamma function.

    Raises:
        RuntimeError: ``n`` is negative.
    """
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return _polygamma(input, int(n), out=out)


def _polygamma_method(self, n):
    return polygamma(n, self)


_polygamma_method.__doc__ = polygamma.__doc__
attach("polygamma", _polygamma_method)
attach("polygamma_", in_place_form(_polygamma_method, "polygamma"))


@op(name="mvlgamma", method=False, promote="float")
def _mvlgamma(input: Array, p):
    steps = jnp.arange(p, dtype=input.dtype) / 2
    total = jnp.sum(special.gammaln(input[..., None] - steps), -1)
    return total + p * (p - 1) / 4 * math.log(math.pi)


def mvlgamma(input, p, *, out=None):
    """The logarithm of the multivariate gamma function of dimension ``p``.

    Raises:
        RuntimeError: ``p`` is below 1, or the input is neither floating nor integer.
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    return _mvlgamma(input, int(p), out=out)


attach("mvlgamma", mvlgamma)
attach("mvlgamma_", in_place_form(mvlgamma))


def log_softmax(input, dim, *, dtype=None):
    """The logarithm of ``softmax``."""
    return reduce.log_softmax(input, dim, dtype)


def softmax(input, dim, *, dtype=None):
    """``exp(input)`` divided by its sum over ``dim``."""
    return reduce.softmax(input, dim, dtype)


__all__ = ["igamma", "igammac", "mvlgamma", "polygamma"]
