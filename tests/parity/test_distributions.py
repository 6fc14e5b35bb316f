"""``torch.distributions``, run in both libraries with one seed: samples, densities, moments, transforms, divergences."""

import math

import numpy as np
import pytest
from module_programs import Log, plain

import rushlight

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def v(t, *values):
    return t.tensor(values, dtype=t.float64)


def spd(t):
    return t.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=t.float64)


# A distribution from its parameters (which may carry gradients), and values at which to evaluate it.
FAMILIES = {
    "Normal": (lambda t, a, b: t.distributions.Normal(a, b), (0.5, -1.0), (1.0, 2.0), (0.3, -2.0)),
    "Laplace": (lambda t, a, b: t.distributions.Laplace(a, b), (0.5, -1.0), (1.0, 2.0), (0.3, -2.0)),
    "Cauchy": (lambda t, a, b: t.distributions.Cauchy(a, b), (0.5, -1.0), (1.0, 2.0), (0.3, -2.0)),
    "Gumbel": (lambda t, a, b: t.distributions.Gumbel(a, b), (0.5, -1.0), (1.0, 2.0), (0.3, -2.0)),
    "LogNormal": (lambda t, a, b: t.distributions.LogNormal(a, b), (0.5, -1.0), (1.0, 2.0), (0.3, 2.0)),
    "HalfNormal": (lambda t, a, b: t.distributions.HalfNormal(b), (0.5, -1.0), (1.0, 2.0), (0.3, 2.0)),
    "Uniform": (lambda t, a, b: t.distributions.Uniform(a, b), (0.5, -1.0), (1.0, 2.0), (0.6, 1.5)),
    "Exponential": (lambda t, a, b: t.distributions.Exponential(a * b), (0.5, 1.0), (1.0, 2.0), (0.6, 1.5)),
    "Gamma": (lambda t, a, b: t.distributions.Gamma(a, b), (0.5, 3.0), (1.0, 2.0), (0.6, 1.5)),
    "Chi2": (lambda t, a, b: t.distributions.Chi2(a * b), (0.5, 3.0), (1.0, 2.0), (0.6, 1.5)),
    "StudentT": (lambda t, a, b: t.distributions.StudentT(a, b, b), (1.5, 3.0), (1.0, 2.0), (0.6, 1.5)),
    "Beta": (lambda t, a, b: t.distributions.Beta(a, b), (0.5, 3.0), (1.0, 2.0), (0.6, 0.2)),
    "Dirichlet": (lambda t, a, b: t.distributions.Dirichlet(a * b), (0.5, 3.0, 1.0), (1.0, 2.0, 1.5), (0.2, 0.5, 0.3)),
    "Poisson": (lambda t, a, b: t.distributions.Poisson(a * b), (0.5, 3.0), (1.0, 2.0), (1.0, 4.0)),
    "Bernoulli": (lambda t, a, b: t.distributions.Bernoulli(a), (0.5, 0.2), (1.0, 2.0), (1.0, 0.0)),
    "Bernoulli by logits": (lambda t, a, b: t.distributions.Bernoulli(logits=b), (0.5, 0.2), (1.0, -2.0), (1.0, 0.0)),
    "Geometric": (lambda t, a, b: t.distributions.Geometric(a), (0.5, 0.2), (1.0, 2.0), (1.0, 3.0)),
    "Binomial": (lambda t, a, b: t.distributions.Binomial(4, a), (0.5, 0.2), (1.0, 2.0), (1.0, 3.0)),
    "NegativeBinomial": (lambda t, a, b: t.distributions.NegativeBinomial(b, a), (0.5, 0.2), (1.5, 2.0), (1.0, 3.0)),
    "NegativeBinomial by logits": (
        lambda t, a, b: t.distributions.NegativeBinomial(2, logits=a), (0.5, -0.2), (1.0,), (0.0, 4.0)
    ),
    "Categorical": (lambda t, a, b: t.distributions.Categorical(a), (0.5, 0.2, 1.0), (1.0,), 2),
    "Categorical by logits": (lambda t, a, b: t.distributions.Categorical(logits=a), (0.5, 0.2), (1.0,), 1),
    "OneHotCategorical": (lambda t, a, b: t.distributions.OneHotCategorical(a), (0.5, 0.2), (1.0,), (0.0, 1.0)),
    "Straight through": (
        lambda t, a, b: t.distributions.OneHotCategoricalStraightThrough(a), (0.5, 0.2), (1.0,), (0.0, 1.0)
    ),
    "Multinomial": (lambda t, a, b: t.distributions.Multinomial(3, a), (0.5, 0.2), (1.0,), (1.0, 2.0)),
    "Relaxed": (
        lambda t, a, b: t.distributions.RelaxedOneHotCategorical(b[0], a), (0.5, 0.2), (0.7,), (0.25, 0.75)
    ),
    "MultivariateNormal": (
        lambda t, a, b: t.distributions.MultivariateNormal(a, spd(t) * b[0]), (0.5, -1.0), (1.5,), (0.3, 0.4)
    ),
    "By precision": (
        lambda t, a, b: t.distributions.MultivariateNormal(a, precision_matrix=spd(t) * b[0]),
        (0.5, -1.0), (1.5,), (0.3, 0.4),
    ),
    "Independent": (
        lambda t, a, b: t.distributions.Independent(t.distributions.Normal(a, b), 1), (0.5, -1.0), (1.0, 2.0), (0.3, 1.0)
    ),
    "Transformed": (
        lambda t, a, b: t.distributions.TransformedDistribution(
            t.distributions.Normal(a, b),
            [t.distributions.SigmoidTransform(), t.distributions.AffineTransform(2.0, -3.0)],
        ),
        (0.5, -1.0), (1.0, 2.0), (0.3, 1.0),
    ),
    "Mixture": (
        lambda t, a, b: t.distributions.MixtureSameFamily(
            t.distributions.Categorical(b), t.distributions.Normal(a, b)
        ),
        (0.5, -1.0), (1.0, 2.0), 0.3,
    ),
}  # fmt: skip


def features(t, name):
    """Everything to ask of a distribution, by name; what raises gives the exception."""
    build, a, b, at = FAMILIES[name]
    log = Log()
    p, q = v(t, *a).requires_grad_(), v(t, *b).requires_grad_()
    d = build(t, p, q)
    x = v(t, *at) if isinstance(at, tuple) else t.tensor(at)
    log.add(repr(d).replace("\n", ""), d.batch_shape, d.event_shape, d.has_rsample, d.has_enumerate_support)
    log.tried(lambda: repr(d.support))
    for what in ("mean", "mode", "variance", "stddev"):
        log.tried(lambda what=what: getattr(d, what).detach())
    for what in ("log_prob", "cdf"):
        log.tried(lambda what=what: getattr(d, what)(x).detach())
    log.tried(lambda: d.icdf(v(t, 0.3)).detach())
    log.tried(lambda: d.entropy().detach())
    log.tried(lambda: d.enumerate_support())
    log.tried(lambda: d.enumerate_support(expand=False))
    score = d.log_prob(x).sum()
    try:
        score = score + d.entropy().sum()
    except NotImplementedError:
        pass
    score.backward()
    log.add(p.grad, q.grad)
    t.manual_seed(3)
    log.tried(lambda: d.sample((3,)))
    t.manual_seed(4)
    if d.has_rsample:
        p, q = v(t, *a).requires_grad_(), v(t, *b).requires_grad_()
        drawn = build(t, p, q).rsample((2,))
        (drawn * drawn).sum().backward()
        log.add(drawn.detach(), p.grad, q.grad)
    big = d.expand((2, *d.batch_shape))
    log.add(big.batch_shape, big.log_prob(x).detach(), repr(big).replace("\n", ""), type(big).__name__)
    log.tried(lambda: d.log_prob("a"))
    log.tried(lambda: d.log_prob(t.full((7, 5), math.nan, dtype=t.float64)).shape)
    return log


# torch approximates these gradients by series, to about three digits.
_ROUGH = {"Gamma", "Chi2", "StudentT", "Beta", "Dirichlet"}


def close(a, b, tolerance):
    if isinstance(a, (bool, int, float)) and isinstance(b, (bool, int, float)):
        return bool(np.isclose(a, b, tolerance, tolerance * 0.1, equal_nan=True))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k], tolerance) for k in a)
    return a == b


def agree(ours, theirs, tolerance=1e-6):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if b == ("NotImplementedError", []):
            a = (a[0], [])  # torch says nothing
        elif isinstance(b, tuple) and b[:1] == ("NotImplementedError",) and b[1]:
            b = (b[0], [" ".join(b[1][0].split())])
        assert close(a, b, tolerance), f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name):
    agree(features(rushlight, name), features(torch, name), 1e-2 if name in _ROUGH else 1e-6)


TRANSFORMS = {
    "Exp": (lambda d, t: d.ExpTransform(), (2,)),
    "Power": (lambda d, t: d.PowerTransform(v(t, 2.0)), (2,)),
    "Sigmoid": (lambda d, t: d.SigmoidTransform(), (2,)),
    "Softplus": (lambda d, t: d.SoftplusTransform(), (2,)),
    "Tanh": (lambda d, t: d.TanhTransform(), (2,)),
    "Affine": (lambda d, t: d.AffineTransform(1.0, v(t, -2.0), event_dim=1), (3, 2)),
    "Compose": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.AffineTransform(1.0, 3.0)]), (2,)),
    "Inverse": (lambda d, t: d.ExpTransform().inv, (2,)),
    "Independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), (3, 2)),
    "Reshape": (lambda d, t: d.ReshapeTransform((4,), (2, 2)), (3, 4)),
    "StickBreaking": (lambda d, t: d.StickBreakingTransform(), (3, 2)),
    "CorrCholesky": (lambda d, t: d.CorrCholeskyTransform(), (2, 3)),
    "Softmax": (lambda d, t: d.SoftmaxTransform(), (3, 2)),
    "Abs": (lambda d, t: d.AbsTransform(), (3,)),
    "LowerCholesky": (lambda d, t: d.LowerCholeskyTransform(), (2, 2)),
    "PositiveDefinite": (lambda d, t: d.PositiveDefiniteTransform(), (2, 2)),
    "Cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.SigmoidTransform()], dim=1, lengths=[1, 2]), (2, 3)),
    "Stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.SigmoidTransform()], dim=0), (2, 3)),
    "Cdf": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(v(t, 0.0), v(t, 1.0))), (2,)),
}


def transformed(t, name):
    build, shape = TRANSFORMS[name]
    log, d = Log(), t.distributions
    x = t.tensor(np.random.default_rng(0).uniform(0.2, 1.0, shape).tolist(), dtype=t.float64).requires_grad_()
    made = build(d, t)
    y = made(x)
    log.add(repr(made).replace("\n", ""), y.detach(), made.inv(y).detach(), made.bijective)
    log.tried(lambda: (repr(made.domain), repr(made.codomain)))
    log.tried(lambda: made.sign)
    log.tried(lambda: made.log_abs_det_jacobian(x, y).detach())
    log.tried(lambda: (tuple(made.forward_shape(x.shape)), tuple(made.inverse_shape(y.shape))))
    log.tried(lambda: made.forward_shape(()))
    log.add(made == build(d, t), made == d.TanhTransform(), made.inv.inv is made)
    (y * y).sum().backward()
    log.add(x.grad)
    log.tried(lambda: (lambda c: c.inv(c(x)) is x)(made.with_cache(1)))
    return log


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name):
    agree(transformed(rushlight, name), transformed(torch, name))


def regions(t, log):
    c = t.distributions.constraints
    x = t.tensor([[0.5, 0.5], [-1.0, 2.0], [1.0, 0.0], [float("nan"), 3.0]])
    square = t.tensor([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.6, 0.8]], [[1.0, 2.0], [2.0, 1.0]]])
    for region in (
        c.boolean, c.one_hot, c.nonnegative_integer, c.positive_integer, c.integer_interval(-1, 2), c.real,
        c.real_vector, c.positive, c.nonnegative, c.greater_than(0.5), c.less_than(0.5), c.unit_interval,
        c.interval(-1.0, 1.0), c.half_open_interval(0.0, 1.0), c.simplex, c.multinomial(3),
        c.cat([c.positive, c.real], 1), c.stack([c.positive, c.real], 1), c.independent(c.positive, 1),
    ):  # fmt: skip
        log.add(
            repr(region) if "Cat" not in repr(region) else "", region.check(x), region.is_discrete, region.event_dim
        )
    for region in (
        c.square, c.symmetric, c.positive_definite, c.lower_triangular, c.lower_cholesky, c.corr_cholesky,
    ):  # fmt: skip
        log.add(repr(region), region.check(square), region.event_dim)
    log.add(c.positive_semidefinite.check(square[:1]))
    log.tried(lambda: c.dependent.check(x))
    log.tried(lambda: c.dependent.event_dim)
    log.add(c.is_dependent(c.dependent), c.is_dependent(c.real))
    d = t.distributions
    for region in (
        c.real, c.positive, c.greater_than(1.0), c.less_than(2.0), c.interval(1.0, 3.0), c.unit_interval, c.simplex,
        c.independent(c.positive, 1), c.lower_cholesky,
    ):  # fmt: skip
        log.add(repr(d.transform_to(region)).replace("\n", ""))
        log.tried(lambda region=region: repr(d.biject_to(region)).replace("\n", ""))
    log.tried(lambda: d.biject_to(c.boolean))


def refusals(t, log):
    d = t.distributions
    log.tried(lambda: d.Normal(t.zeros(2), t.tensor([1.0, -1.0])))
    log.tried(lambda: d.Normal("a", 1.0))
    log.tried(lambda: d.Bernoulli())
    log.tried(lambda: d.Bernoulli(probs=t.tensor(0.5), logits=t.tensor(0.5)))
    log.tried(lambda: d.Bernoulli(t.tensor(1.5)))
    log.tried(lambda: d.Categorical(t.tensor(0.5)))
    log.tried(lambda: d.Categorical(t.tensor([0.5, -0.5])))
    log.tried(lambda: d.Uniform(1.0, 0.0))
    log.tried(lambda: d.Geometric(t.tensor(0.0)))
    log.tried(lambda: d.Dirichlet(t.tensor(1.0)))
    log.tried(lambda: d.Multinomial(t.tensor(2), t.ones(2)))
    log.tried(lambda: d.MultivariateNormal(t.tensor(1.0), t.eye(2)))
    log.tried(lambda: d.MultivariateNormal(t.ones(2)))
    log.tried(lambda: d.MultivariateNormal(t.ones(2), t.ones(2)))
    log.tried(lambda: d.MultivariateNormal(t.ones(2), scale_tril=t.ones(2)))
    log.tried(lambda: d.Independent(d.Normal(0.0, 1.0), 1))
    log.tried(lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), 3))
    log.tried(lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), [3]))
    log.tried(lambda: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()))
    log.tried(lambda: d.Normal(0.0, 1.0).log_prob(t.tensor(float("nan"))))
    log.tried(lambda: d.Normal(0.0, 1.0, validate_args=False).log_prob(t.tensor(float("nan"))))
    log.tried(lambda: d.Binomial(t.tensor([1, 2]), t.tensor([0.5, 0.5])).entropy())
    log.tried(lambda: d.ExpTransform(cache_size=2))
    log.tried(lambda: d.ReshapeTransform((2,), (3,)))
    log.tried(lambda: d.kl_divergence(d.Cauchy(0.0, 1.0), d.Normal(0.0, 1.0)))
    log.tried(lambda: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(0.0, 1.0)))
    log.tried(lambda: d.MixtureSameFamily(d.Categorical(t.ones(2)), d.Normal(t.zeros(3), t.ones(3))))

    class Own(d.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)

    log.tried(lambda: Own().expand((2,)))
    log.tried(lambda: d.kl_divergence(Own(), d.Normal(0.0, 2.0)))
    log.add(type(d.Normal(0, 1).sample()).__name__, d.Normal(0, 1).log_prob(t.tensor(0.5)), d.Normal(0, 1).batch_shape)


def divergences(t, log):
    d = t.distributions
    made = [
        d.Bernoulli(v(t, 0.3, 1.0)), d.Beta(v(t, 0.5, 2.0), v(t, 1.0, 3.0)), d.Binomial(3, v(t, 0.3, 0.6)),
        d.Categorical(v(t, 0.3, 0.7)), d.Cauchy(v(t, 0.3), v(t, 0.6)), d.Dirichlet(v(t, 0.5, 2.0)),
        d.Exponential(v(t, 0.5, 2.0)), d.Gamma(v(t, 0.5, 2.0), v(t, 1.0, 3.0)), d.Geometric(v(t, 0.5, 0.2)),
        d.Gumbel(v(t, 0.5, 2.0), v(t, 1.0, 3.0)), d.HalfNormal(v(t, 0.5)), d.Laplace(v(t, 0.5, 2.0), v(t, 1.0, 3.0)),
        d.LogNormal(v(t, 0.5), v(t, 1.5)), d.MultivariateNormal(v(t, 0.5, 2.0), spd(t)),
        d.Normal(v(t, 0.5, 2.0), v(t, 1.0, 3.0)), d.OneHotCategorical(v(t, 0.3, 0.7)), d.Poisson(v(t, 0.5, 2.0)),
        d.Uniform(v(t, 0.2, 0.1), v(t, 0.7, 0.9)), d.Independent(d.Normal(v(t, 0.5, 2.0), v(t, 1.0, 3.0)), 1),
        d.Uniform(v(t, -0.2, 0.1), v(t, 0.7, 1.9)), d.Categorical(v(t, 0.5, 0.5)), d.Normal(v(t, 0.1), v(t, 2.0)),
        d.MultivariateNormal(v(t, 0.1, 1.0), scale_tril=spd(t).tril()),
    ]  # fmt: skip
    for p in made:
        for q in made:
            log.tried(lambda p=p, q=q: d.kl_divergence(p, q).detach())


@pytest.mark.parametrize("program", [regions, refusals, divergences], ids=lambda p: p.__name__)
def test_program(program):
    ours, theirs = Log(), Log()
    program(rushlight, ours)
    program(torch, theirs)
    agree(ours, theirs)


def test_plain_is_what_is_compared():
    assert not close(plain(v(rushlight, 1.0)), plain(v(torch, 1.1)), 1e-6)
