"""Owns the Kullback-Leibler divergences between different families. May import the distributions and ``kl``."""

from __future__ import annotations

import math
from typing import Any

from ..ops.creation import full_like
from . import kl
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .laplace import Laplace
from .normal import Normal
from .poisson import Poisson
from .uniform import Uniform
from .utils import choose, euler_constant


def _infinite(parameter: str):
    return lambda p, q: full_like(getattr(p, parameter), math.inf)


# Where p reaches outside of q.
for _p, _name, _outside in (
    (Exponential, "rate", (Beta, Uniform)),
    (Gamma, "concentration", (Beta, Uniform)),
    (Gumbel, "loc", (Beta, Exponential, Gamma, Uniform)),
    (Laplace, "loc", (Beta, Exponential, Gamma, Uniform)),
    (Normal, "loc", (Beta, Exponential, Gamma, Uniform)),
    (Poisson, "rate", (Bernoulli, Binomial)),
):
    for _q in _outside:
        kl.register_kl(_p, _q)(_infinite(_name))


@kl.register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@kl.register_kl(Beta, Exponential)
def _beta_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@kl.register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    of_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    constant = q.concentration.lgamma() - q.concentration * q.rate.log()
    return -p.entropy() + constant - (q.concentration - 1) * of_log + q.rate * p.mean


def _to_normal(p: Any, q: Any, second: Any) -> Any:
    """To a normal distribution, from the entropy, the mean and the mean square of p."""
    constant = 0.5 * (q.scale.pow(2) * 2 * math.pi).log()
    return -p.entropy() + constant + (second * 0.5 - q.loc * p.mean + q.loc.pow(2) * 0.5) / q.scale.pow(2)


for _p in (Beta, Exponential, Gamma, Laplace, Uniform):
    kl.register_kl(_p, Normal)(lambda p, q: _to_normal(p, q, p.variance + p.mean.pow(2)))


@kl.register_kl(Beta, Uniform)
def _beta_uniform(p: Any, q: Any) -> Any:
    return choose((q.low > 0.0) | (q.high < 1.0), math.inf, -p.entropy() + (q.high - q.low).log())


@kl.register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    constant = q.concentration.lgamma() + q.concentration * euler_constant - (1 + euler_constant)
    return -q.concentration * ratio.log() + ratio + constant


@kl.register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    product, place = p.rate * q.scale, q.loc / q.scale
    return product.log() - 1 - place + place.exp() * product / (product + 1) + product.reciprocal()


@kl.register_kl(Gamma, Exponential)
def _gamma_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@kl.register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    a, product, place = p.concentration, p.rate * q.scale, q.loc / q.scale
    found = (a - 1) * a.digamma() - a.lgamma() - a + product.log() + a / product
    return found + place.exp() * (1 + product.reciprocal()).pow(-a) - place


@kl.register_kl(Gumbel, Normal)
def _gumbel_normal(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    spread = (math.pi * ratio * 0.5).pow(2) / 3
    away = ((p.loc + p.scale * euler_constant - q.loc) / q.scale).pow(2) * 0.5
    return -(ratio / math.sqrt(2 * math.pi)).log() + spread + away - (euler_constant + 1)


@kl.register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    mine, place, square = p.loc / q.scale, q.loc / q.scale, (p.scale / q.scale).pow(2)
    found = -square.log() * 0.5 + mine - place + (-mine + 0.5 * square + place).exp()
    return found - 0.5 * (1 + math.log(2 * math.pi))


@kl.register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    distance = p.loc - q.loc
    away = distance / p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * (-0.5 * away.pow(2)).exp() + distance * (math.sqrt(0.5) * away).erf()
    return -(p.scale / q.scale).log() + mean / q.scale - 0.5 * (1 + math.log(0.5 * math.pi))


def _x_log_x(x: Any) -> Any:
    return x.xlogy(x)


@kl.register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    width = p.high - p.low
    up = (q.concentration1 - 1) * (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    down = (q.concentration0 - 1) * (_x_log_x(1 - p.high) - _x_log_x(1 - p.low) + width) / width
    constant = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    return choose((p.high > 1.0) | (p.low < 0.0), math.inf, down + constant - width.log() - up)


@kl.register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    return choose(p.low < 0.0, math.inf, q.rate * p.mean - ((p.high - p.low) * q.rate).log())


@kl.register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    width = p.high - p.low
    of_log = (1 - q.concentration) * (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    constant = q.concentration.lgamma() - q.concentration * q.rate.log()
    return choose(p.low < 0.0, math.inf, -width.log() + constant + of_log + q.rate * p.mean)


@kl.register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    ratio = q.scale / (p.high - p.low)
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return ratio.log() + 0.5 * (high + low) - ratio * ((-high).exp() - (-low).exp())
