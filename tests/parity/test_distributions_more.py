"""The rarer families of ``torch.distributions``, run in both libraries with one seed and compared."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def spd(t, scale=1.0):
    return t.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=t.float64) * scale


def tall(t):
    return t.tensor([[0.5], [-1.0]], dtype=t.float64)


A, B = (0.5, 1.5), (1.0, 2.5)
# How to make it from two parameters that carry gradients, these, a value; and what torch samples otherwise.
FAMILIES = {
    "VonMises": (lambda d, t, a, b: d.VonMises(a, b), A, B, (0.3, -2.0)),
    "VonMises wide": (lambda d, t, a, b: d.VonMises(a, b * 1e-2), A, B, (0.3, -2.0)),
    "HalfCauchy": (lambda d, t, a, b: d.HalfCauchy(a * b), A, B, (0.3, 2.0)),
    "InverseGamma": (lambda d, t, a, b: d.InverseGamma(a * 3, b), A, B, (0.3, 2.0)),
    "Kumaraswamy": (lambda d, t, a, b: d.Kumaraswamy(a + 1, b + 1), A, B, (0.3, 0.6)),
    "LogisticNormal": (lambda d, t, a, b: d.LogisticNormal(a, b), A, B, (0.3, 0.6, 0.1)),
    "Pareto": (lambda d, t, a, b: d.Pareto(a, b), A, B, (0.6, 2.0)),
    "Weibull": (lambda d, t, a, b: d.Weibull(a, b), A, B, (0.3, 2.0)),
    "FisherSnedecor": (lambda d, t, a, b: d.FisherSnedecor(a * 6, b * 6), A, B, (0.3, 2.0)),
    "GeneralizedPareto": (lambda d, t, a, b: d.GeneralizedPareto(a, b, a / 4), A, B, (0.6, 2.0)),
    "GeneralizedPareto bounded": (lambda d, t, a, b: d.GeneralizedPareto(a, b, -b), A, B, (0.6, 1.7)),
    "GeneralizedPareto at zero": (lambda d, t, a, b: d.GeneralizedPareto(a, b, t.zeros_like(a)), A, B, (0.6, 1.7)),
    "RelaxedBernoulli": (lambda d, t, a, b: d.RelaxedBernoulli(b[0], a / 2), A, B, (0.3, 0.6)),
    "RelaxedBernoulli by logits": (lambda d, t, a, b: d.RelaxedBernoulli(b[0], logits=a), A, B, (0.3, 0.6)),
    "ContinuousBernoulli": (lambda d, t, a, b: d.ContinuousBernoulli(a / 2), A, B, (0.3, 0.6)),
    "ContinuousBernoulli middle": (lambda d, t, a, b: d.ContinuousBernoulli(a), (0.5, 0.5004), B, (0.3, 0.6)),
    "ContinuousBernoulli by logits": (lambda d, t, a, b: d.ContinuousBernoulli(logits=a), A, B, (0.3, 0.6)),
    "LowRank": (lambda d, t, a, b: d.LowRankMultivariateNormal(a, tall(t) * b[0], b), A, B, (0.3, 0.6)),
    "LKJCholesky": (lambda d, t, a, b: d.LKJCholesky(3, b), A, B, None),
    "Wishart": (lambda d, t, a, b: d.Wishart(b + 2, spd(t) * a[0]), A, B, ((1.5, 0.3), (0.3, 2.0))),
    "Wishart by factor": (
        lambda d, t, a, b: d.Wishart(b[1] + 2, scale_tril=t.linalg.cholesky(spd(t) * a[0])),
        A,
        B,
        ((1.5, 0.3), (0.3, 2.0)),
    ),
    "Wishart by precision": (
        lambda d, t, a, b: d.Wishart(4.0, precision_matrix=spd(t) * a[0]),
        A,
        B,
        ((1.5, 0.3), (0.3, 2.0)),
    ),
}
# torch compares the concentration with a float32 zero.
SINGLE = {"GeneralizedPareto", "GeneralizedPareto bounded", "GeneralizedPareto at zero"}
OTHER_DRAWS = {"Wishart"}  # torch throws away its first draw: it takes whole matrices for singular ones


def attempt(run):
    try:
        return run()
    except (NotImplementedError, AttributeError) as error:
        return type(error)


def gather(t, name):
    make, a, b, at = FAMILIES[name]
    dtype = t.float32 if name in SINGLE else t.float64
    a, b = (t.tensor(x, dtype=dtype, requires_grad=True) for x in (a, b))
    made = make(t.distributions, t, a, b)
    if at is None:
        value = t.tensor(np.linalg.cholesky([[1.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 1.0]]))
    else:
        value = t.tensor(at, dtype=dtype)
    found = {"log_prob": made.log_prob(value)}
    for what in ("mean", "variance", "stddev", "mode"):
        found[what] = attempt(lambda what=what: getattr(made, what))
    for what in ("covariance_matrix", "precision_matrix", "scale_tril", "loc", "scale", "probs", "logits", "df"):
        if hasattr(made, what):
            found[what] = getattr(made, what)
    found["entropy"] = attempt(made.entropy)
    u = t.tensor([0.2, 0.7], dtype=dtype)
    if not made.event_shape:
        found["cdf"] = attempt(lambda: made.cdf(value))
        found["icdf"] = attempt(lambda: made.icdf(u))
    grads = t.autograd.grad(found["log_prob"].sum(), (a, b), allow_unused=True, retain_graph=True)
    found.update({f"slope {i}": g for i, g in enumerate(grads) if g is not None})
    wider = made.expand((3, *made.batch_shape))
    found["wider"] = wider.log_prob(value)
    found["shapes"] = tuple(made.batch_shape), tuple(made.event_shape), tuple(wider.batch_shape), made.has_rsample
    found["support"] = bool(made.support.check(value).all())
    if name.split()[0] not in OTHER_DRAWS:
        t.manual_seed(3)
        found["sample"] = made.sample((4,))
        if made.has_rsample:
            drawn = made.rsample((2, 3))
            found["rsample"] = drawn
            some = t.autograd.grad(drawn.sum(), (a, b), allow_unused=True)
            found.update({f"drawn slope {i}": g for i, g in enumerate(some) if g is not None})
        found["wide sample"] = wider.sample((2,))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    ours, theirs = gather(rushlight, name), gather(torch, name)
    for key, wanted in theirs.items():
        got = ours[key]
        if isinstance(wanted, torch.Tensor):
            rtol = 1e-9
            if name.startswith("VonMises"):
                rtol = 1e-6  # torch approximates the Bessel functions to 1e-7
            elif name in SINGLE:
                rtol = 1e-5
            elif key.startswith("drawn slope") and name in ("InverseGamma", "FisherSnedecor"):
                rtol = 1e-2  # torch approximates the slope of a gamma draw
            assert tuple(got.shape) == tuple(wanted.shape), key
            np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol, rtol, err_msg=key)
        else:
            assert got == wanted, key


def families(d, t):
    u = lambda *x: t.tensor(x, dtype=t.float64)  # noqa: E731
    return {
        "ContinuousBernoulli": d.ContinuousBernoulli(u(0.2, 0.7)), "Pareto": d.Pareto(u(1.0, 0.4), u(3.0, 2.5)),
        "Other Pareto": d.Pareto(u(0.5, 0.5), u(2.0, 1.5)), "Beta": d.Beta(u(0.5, 2.0), u(1.0, 1.5)),
        "Exponential": d.Exponential(u(0.5, 2.0)), "Gamma": d.Gamma(u(0.5, 2.0), u(1.0, 1.5)),
        "Gumbel": d.Gumbel(u(0.5, 2.0), u(1.0, 1.5)), "Laplace": d.Laplace(u(0.5, 2.0), u(1.0, 1.5)),
        "Normal": d.Normal(u(0.5, 2.0), u(1.0, 1.5)), "Uniform": d.Uniform(u(0.3, 0.6), u(0.7, 3.0)),
    }  # fmt: skip


PAIRS = [
    ("ContinuousBernoulli", q) for q in ("ContinuousBernoulli", "Pareto", "Exponential", "Normal", "Uniform")
] + [
    (p, q) for p in ("Beta", "Exponential", "Gamma", "Gumbel", "Laplace", "Normal", "Uniform")
    for q in ("ContinuousBernoulli", "Pareto", "Other Pareto")
] + [("Pareto", q) for q in ("Pareto", "Other Pareto", "Beta", "ContinuousBernoulli", "Exponential", "Gamma", "Normal", "Uniform")]  # fmt: skip


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences(p, q):
    ours, theirs = (
        t.distributions.kl_divergence(families(t.distributions, t)[p], families(t.distributions, t)[q])
        for t in (rushlight, torch)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-9, 1e-12)


def normals(d, t):
    loc, diagonal = t.tensor([0.5, -1.0], dtype=t.float64), t.tensor([1.0, 0.5], dtype=t.float64)
    return [
        d.LowRankMultivariateNormal(loc, tall(t), diagonal), d.LowRankMultivariateNormal(loc * 2, tall(t) * 2, diagonal * 3),
        d.MultivariateNormal(loc, spd(t)), d.LowRankMultivariateNormal(loc, tall(t), diagonal).expand((3,)),
        d.MultivariateNormal(loc, spd(t)).expand((3,)),
    ]  # fmt: skip


@pytest.mark.parametrize(("p", "q"), [(0, 1), (1, 0), (0, 2), (2, 0), (3, 1), (4, 0), (3, 4), (4, 3)])
def test_divergences_of_vectors(p, q):
    ours, theirs = (
        t.distributions.kl_divergence(normals(t.distributions, t)[p], normals(t.distributions, t)[q])
        for t in (rushlight, torch)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-9)


def test_wishart_samples():
    """The mean and the spread of many draws."""
    rushlight.manual_seed(0)
    made = rushlight.distributions.Wishart(5.0, spd(rushlight))
    drawn = made.sample((4000,))
    np.testing.assert_allclose(drawn.mean(0).numpy(), made.mean.numpy(), rtol=0.1)
    np.testing.assert_allclose(drawn.var(0).numpy(), made.variance.numpy(), rtol=0.15)


MISTAKES = {
    "lkj": lambda d, t: d.LKJCholesky(1),
    "wishart two": lambda d, t: d.Wishart(3.0, spd(t), spd(t)),
    "wishart df": lambda d, t: d.Wishart(0.5, spd(t)),
    "low rank": lambda d, t: d.LowRankMultivariateNormal(t.zeros(2), t.zeros(3, 1), t.ones(2)),
    "low rank diagonal": lambda d, t: d.LowRankMultivariateNormal(t.zeros(2), t.zeros(2, 1), t.ones(3)),
    "continuous": lambda d, t: d.ContinuousBernoulli(),
    "relaxed": lambda d, t: d.RelaxedBernoulli(t.tensor(1.0), probs=t.tensor(0.5), logits=t.tensor(0.5)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    raised = []
    for t in (rushlight, torch):
        with pytest.raises((ValueError, AssertionError)) as caught:
            MISTAKES[name](t.distributions, t)
        raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]


def test_every_name_is_there():
    for ours, theirs in (
        (rushlight.distributions, torch.distributions), (rushlight.distributions.transforms, torch.distributions.transforms),
        (rushlight.distributions.constraints, torch.distributions.constraints),
    ):  # fmt: skip
        assert not [name for name in theirs.__all__ if not hasattr(ours, name)]
    ours = {(p.__name__, q.__name__) for p, q in rushlight.distributions.kl._KL_REGISTRY}
    assert not [(p, q) for p, q in torch.distributions.kl._KL_REGISTRY if (p.__name__, q.__name__) not in ours]
