"""Gradients of slices side by side: the rearranged program computes what the traced one does, with fewer additions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core as jex

import rushlight as torch
from rushlight.compiler._forms import in_fast_forms

RNG = np.random.default_rng(0)
A, B = (jnp.asarray(RNG.standard_normal((4, 6)), jnp.float32) for _ in range(2))


def into(shape, part, *starts):
    return lax.dynamic_update_slice(jnp.zeros(shape, part.dtype), part, starts)


def padded(part, config, value=0):
    return lax.pad(part, np.asarray(value, part.dtype), ((0, 0, 0), config))


def _scanned(x):
    def body(carry, row):
        return carry + (into((4, 12), row, 0, 0) + into((4, 12), row, 0, 6)), row.sum()

    return lax.scan(body, jnp.zeros((4, 12), A.dtype), jnp.stack([x, B]))


# Each with how many concatenations it becomes.
PROGRAMS = {
    "two": (lambda x: into((4, 12), x, 0, 0) + into((4, 12), B, 0, 6), 1),
    "three, out of order": (
        lambda x: into((4, 18), x, 0, 12) + into((4, 18), B, 0, 0) + into((4, 18), x * 2, 0, 6),
        1,
    ),
    "rows": (lambda x: into((8, 6), B, 4, 0) + into((8, 6), x, 0, 0), 1),
    "gaps": (lambda x: into((4, 20), x, 0, 1) + into((4, 20), B, 0, 9), 1),
    "a place that is clamped": (lambda x: into((4, 12), x, 0, 0) + into((4, 12), B, 0, 99), 1),
    "overlapping": (lambda x: into((4, 12), x, 0, 0) + into((4, 12), B, 0, 5), 0),
    "different dimensions": (lambda x: into((8, 6), x, 0, 0) + into((8, 6), jnp.ones((8, 2), A.dtype), 0, 4), 0),
    "smaller both ways": (lambda x: into((8, 12), x, 0, 0) + into((8, 12), B, 4, 6), 0),
    "not zeros": (
        lambda x: lax.dynamic_update_slice(jnp.ones((4, 12), A.dtype), x, (0, 0)) + into((4, 12), B, 0, 6),
        0,
    ),
    "places that depend on values": (
        lambda x: into((4, 12), x, 0, (x[0, 0] > 0) * 6) + into((4, 12), B, 0, 0),
        0,
    ),
    "pads": (lambda x: padded(x, (6, 0, 0)) + padded(B, (0, 6, 0)), 1),
    "pads of another number": (lambda x: padded(x, (6, 0, 0), 1) + padded(B, (0, 6, 0)), 0),
    "pads between": (lambda x: padded(x, (0, 1, 1)) + padded(B, (0, 6, 0)), 0),
    "transposed": (lambda x: (into((4, 12), x, 0, 0) + into((4, 12), B, 0, 6)).T @ x, 1),
    "a part alone": (lambda x: into((4, 12), x, 0, 3) @ jnp.ones((12, 2)) + into((4, 2), x[:, :1], 0, 1), 0),
    "a part of parts": (
        lambda x: into((4, 24), into((4, 12), x, 0, 0) + into((4, 12), B, 0, 6), 0, 0) + into((4, 24), x, 0, 12),
        2,
    ),
    "used twice": (lambda x: (lambda whole: (whole, whole * 2))(into((4, 12), x, 0, 0) + into((4, 12), B, 0, 6)), 1),
    "integers": (
        lambda x: into((4, 12), x.astype(int), 0, 0) + into((4, 12), B.astype(int), 0, 6),
        1,
    ),
    "gradient of a split": (lambda x: jax.grad(lambda y: sum(jnp.sin(p).prod() for p in jnp.split(y, 3, 1)))(x), None),
    "in a loop": (_scanned, 1),
    "no places": (lambda x: x + B, 0),
}


def _count(jaxpr, name):
    inner = [getattr(value, "jaxpr", value) for eqn in jaxpr.eqns for value in eqn.params.values()]
    own = sum(eqn.primitive.name == name for eqn in jaxpr.eqns)
    return own + sum(_count(i, name) for i in inner if hasattr(i, "eqns"))


def _inlined(function):
    """As the compiler traces: numbers arrive as arguments of inlined calls, so places are computed from constants."""
    return jax.make_jaxpr(lambda x: jax.jit(function, inline=True)(x))(A)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_results(name):
    function, joins = PROGRAMS[name]
    before = _inlined(function)
    after = in_fast_forms(before)
    expected, found = (jex.jaxpr_as_fun(c)(A) for c in (before, after))
    for want, got in zip(expected, found, strict=True):
        assert want.dtype == got.dtype
        np.testing.assert_array_equal(want, got)
    if joins is not None:
        assert _count(after.jaxpr, "concatenate") - _count(before.jaxpr, "concatenate") == joins


def test_the_gradient_of_a_split_is_one_concatenation(monkeypatch):
    from rushlight.compiler import _split

    seen = []
    monkeypatch.setattr(_split, "in_fast_forms", lambda closed: seen.append(in_fast_forms(closed)) or seen[-1])
    x = torch.arange(12.0).reshape(2, 6).requires_grad_()

    def grad(x):
        a, b, c = (x * 2).split(2, dim=-1)
        (gradient,) = torch.autograd.grad((a * b.sin() - c).sum(), x)
        return gradient

    np.testing.assert_allclose(torch.compile(grad, fullgraph=True)(x).numpy(), grad(x).numpy(), rtol=1e-6)
    assert [_count(s.jaxpr, "concatenate") for s in seen] == [1]
    assert _count(seen[0].jaxpr, "dynamic_update_slice") == 0
