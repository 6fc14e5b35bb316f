"""What is computed once of state that does not change: small parts are cut out where they are used."""

import jax
import jax.numpy as jnp

import rushlight as torch
from rushlight import nn
from rushlight.compiler._prepared import separate


def test_small_parts_are_not_inputs_of_the_rest():
    def program(x, w):
        turned = jnp.transpose(w, (1, 0))
        return sum(x * turned[i] for i in range(8))

    jaxpr = jax.make_jaxpr(program)(jnp.ones(200), jnp.ones((200, 8))).jaxpr
    early, late = separate(jaxpr.eqns, {jaxpr.invars[1]})
    assert [e.primitive.name for e in early] == ["transpose"]
    assert len(early) + len(late) == len(jaxpr.eqns)
    known = {*jaxpr.invars, *(v for e in early for v in e.outvars)}
    for eqn in late:  # in an order in which each has what it needs
        assert all(not hasattr(v, "count") or v in known for v in eqn.invars)
        known.update(eqn.outvars)


def test_a_changed_kernel_is_seen():
    layer, x = nn.Conv2d(160, 160, 3, groups=160), torch.randn(2, 160, 6, 6)
    run = torch.compile(layer)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(run(x), layer(x))
            layer.weight.mul_(-2)
