"""Owns divergences of Pareto, ContinuousBernoulli and LowRankMultivariateNormal. May import these and ``kl``."""

from __future__ import annotations

import math
from typing import Any

from ..ops.linalg_solve import solve_triangular
from ..ops.strided import broadcast_shapes
from . import kl
from ._kl_pairs import _infinite, _x_log_x
from .beta import Beta
from .continuous_bernoulli import ContinuousBernoulli
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal, _batch_mahalanobis
from .normal import Normal
from .pareto import Pareto
from .uniform import Uniform
from .utils import choose

# Where p reaches outside of q.
for _p, _name, _outside in (
    (Beta, "concentration1", (Pareto,)),
    (ContinuousBernoulli, "probs", (Pareto,)),
    (Exponential, "rate", (Pareto, ContinuousBernoulli)),
    (Gamma, "concentration", (Pareto, ContinuousBernoulli)),
    (Gumbel, "loc", (Pareto, ContinuousBernoulli)),
    (Laplace, "loc", (Pareto, ContinuousBernoulli)),
    (Normal, "loc", (Pareto, ContinuousBernoulli)),
    (Pareto, "scale", (Beta, ContinuousBernoulli, Uniform)),
):
    for _q in _outside:
        kl.register_kl(_p, _q)(_infinite(_name))


def _to_continuous(p: Any, q: Any) -> Any:
    return -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()


@kl.register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    return _to_continuous(p, q)


@kl.register_kl(Beta, ContinuousBernoulli)
def _beta_continuous(p: Any, q: Any) -> Any:
    return _to_continuous(p, q)


@kl.register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous(p: Any, q: Any) -> Any:
    return choose((p.high >= 1.0) | (p.low <= 0.0), math.inf, _to_continuous(p, q))


@kl.register_kl(ContinuousBernoulli, Exponential)
def _continuous_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@kl.register_kl(ContinuousBernoulli, Normal)
def _continuous_normal(p: Any, q: Any) -> Any:
    constant = 0.5 * (math.log(2.0 * math.pi) + (q.loc / q.scale).square()) + q.scale.log()
    return -p.entropy() + constant + (p.variance + p.mean.square() - 2.0 * q.loc * p.mean) / (2.0 * q.scale.square())


@kl.register_kl(ContinuousBernoulli, Uniform)
def _continuous_uniform(p: Any, q: Any) -> Any:
    return choose((q.low >= 0.0) | (q.high <= 1.0), math.inf, -p.entropy() + (q.high - q.low).log())


@kl.register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    return choose(p.scale < q.scale, math.inf, q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1)


@kl.register_kl(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Any:
    product = p.scale * q.rate
    found = (p.alpha / product).log() - p.alpha.reciprocal() + p.alpha * product / (p.alpha - 1) - 1
    return choose(p.alpha <= 1, math.inf, found)


@kl.register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    of_log = p.scale.log() + p.alpha.reciprocal()
    constant = q.concentration.lgamma() - q.concentration * q.rate.log()
    found = p.alpha.log() - of_log + constant + (1 - q.concentration) * of_log
    return choose(p.alpha <= 1, math.inf, found + q.rate * p.alpha * p.scale / (p.alpha - 1) - 1)


@kl.register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Any:
    part = p.scale / (p.alpha - 1)
    found = (math.sqrt(2 * math.pi) * q.scale * p.alpha / p.scale).log() - p.alpha.reciprocal()
    spread = p.alpha * part.pow(2) / (p.alpha - 2) + (p.alpha * part - q.loc).pow(2)
    return choose(p.alpha <= 2, math.inf, found + spread / (2 * q.scale.pow(2)) - 1)


@kl.register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    width = p.high - p.low
    of_log = (_x_log_x(p.high) - _x_log_x(p.low) - width) / width
    found = (q.alpha + 1) * of_log - (q.alpha * q.scale.pow(q.alpha) * width).log()
    return choose(p.low < q.scale, math.inf, found)


def _same_size(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be computed"
        )


def _into_narrow(p: Any, q: Any, parts: list, log_det: Any) -> Any:
    """To a narrow q, from matrices whose squares add up to the covariance of p."""
    a = solve_triangular(q._capacitance_tril, q._scaled(), upper=False)
    root = q._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
    trace: Any = 0
    for part in parts:
        trace = trace + (part / root).pow(2).sum((-2, -1)) - (a @ part).pow(2).sum((-2, -1))
    return 0.5 * (q._log_det() - log_det + trace + q._distance(q.loc - p.loc) - p.event_shape[0])


@kl.register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _narrow(p: Any, q: Any) -> Any:
    _same_size(p, q)
    return _into_narrow(
        p, q, [p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()], p._log_det()
    )


@kl.register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _full_narrow(p: Any, q: Any) -> Any:
    _same_size(p, q)
    return _into_narrow(p, q, [p._unbroadcasted_scale_tril], 2 * p._half_log_det())


@kl.register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _narrow_full(p: Any, q: Any) -> Any:
    _same_size(p, q)
    lower, n = q._unbroadcasted_scale_tril, p.event_shape[0]
    trace: Any = 0
    for part in (p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()):
        batch = broadcast_shapes(lower.shape[:-2], part.shape[:-2])
        solved = solve_triangular(lower.expand((*batch, n, n)), part.expand((*batch, *part.shape[-2:])), upper=False)
        trace = trace + solved.pow(2).sum((-2, -1))
    return 0.5 * (2 * q._half_log_det() - p._log_det() + trace + _batch_mahalanobis(lower, q.loc - p.loc) - n)
