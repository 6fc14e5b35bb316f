"""Owns samples whose gradients reach the parameters of their distribution: gamma and Dirichlet.

May import the door, random and jax. The gradients are those of implicit reparameterisation (Figurnov et al. 2018).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._tensor.tensor import Tensor
from ..random import rejection
from ._op import Array, op
from .random import _drawn


def _as_drawn(parameter, drawn):
    return drawn


_gamma_slope: Any = jax.lax.random_gamma_grad
_gamma: Any = jax.custom_jvp(_as_drawn)
_dirichlet: Any = jax.custom_jvp(_as_drawn)


@_gamma.defjvp
def _gamma_jvp(primals, tangents):
    concentration, drawn = primals
    return drawn, _gamma_slope(concentration, drawn) * tangents[0]


@op(name="_standard_gamma", method=False)
def _follow_gamma(concentration: Array, drawn: Array):
    return _gamma(concentration, drawn)


def _beta_slope(x, a, b):
    """How a Beta number moves with its first parameter: ``-dF/da / f``, with a central difference for dF/da."""
    wide = [v.astype(jnp.float64) for v in (x, a, b)]
    x, a, b = jnp.clip(wide[0], 1e-300, 1 - 1e-16), wide[1], wide[2]
    step = 1e-4 * jnp.minimum(a, 1.0)
    change = jax.scipy.special.betainc(a + step, b, x) - jax.scipy.special.betainc(a - step, b, x)
    density = (a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - jax.scipy.special.betaln(a, b)
    return -change / (2 * step) * jnp.exp(-density)


@_dirichlet.defjvp
def _dirichlet_jvp(primals, tangents):
    concentration, drawn = primals
    total = concentration.sum(-1, keepdims=True)
    # Each coordinate is a Beta number; the others share what it takes in proportion.
    own = (_beta_slope(drawn, concentration, total - concentration) / (1 - drawn)).astype(drawn.dtype)
    moved = own * tangents[0]
    return drawn, moved - drawn * moved.sum(-1, keepdims=True)


@op(name="_sample_dirichlet", method=False)
def _follow_dirichlet(concentration: Array, drawn: Array):
    return _dirichlet(concentration, drawn)


def _draw(host, keyed, concentration, generator):
    where, shape, d = concentration.device, tuple(concentration.shape), concentration.dtype
    given = concentration.detach()
    drawn = _drawn(
        generator, where, shape, d, lambda e: host(e, np.asarray(given._host())),
        lambda k: keyed(k, given._array(), shape).astype(d.np),
    )  # fmt: skip
    return Tensor._of(drawn, where)


def _standard_gamma(concentration, generator=None):
    """Gamma numbers of rate 1; gradients reach ``concentration``."""
    drawn = _draw(rejection.standard_gamma, jax.random.gamma, concentration, generator)
    return _follow_gamma(concentration, drawn)


def _sample_dirichlet(concentration, generator=None):
    """Dirichlet numbers over the last dimension; gradients reach ``concentration``."""
    drawn = _draw(
        rejection.dirichlet, lambda k, a, shape: jax.random.dirichlet(k, a, shape[:-1]), concentration, generator
    )
    return _follow_dirichlet(concentration, drawn)


__all__ = ["_sample_dirichlet", "_standard_gamma"]
