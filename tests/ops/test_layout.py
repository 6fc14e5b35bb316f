"""The memory order of convolutions: a rearranged program computes what the traced one does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core as jex

import rushlight as torch
from rushlight import nn
from rushlight.ops import _convolutions as forms
from rushlight.ops._layout import channels_last

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((2, 4, 6, 8)), jnp.float32)
W = jnp.asarray(RNG.standard_normal((4, 4, 3, 3)) / 6, jnp.float32)


def conv(x, w=W, stride=1, **options):
    return lax.conv_general_dilated(x, w, (stride, stride), ((1, 1), (1, 1)), **options)


def _window(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 2), (1, 1, 2, 1), "VALID")


PROGRAMS = {
    "stack": lambda x: conv(jnp.tanh(conv(x)) + 1.0),
    "stride": lambda x: conv(x, stride=2),
    "dilated": lambda x: conv(x, rhs_dilation=(2, 1)),
    "base_dilated": lambda x: conv(x, lhs_dilation=(2, 3)),
    "groups": lambda x: conv(x, W[:, :2], feature_group_count=2),
    "residual": lambda x: x + conv(x) * x,
    "flatten": lambda x: conv(x).reshape(2, -1) @ jnp.ones((192, 3)),
    "tokens": lambda x: conv(x).reshape(2, 4, 48).transpose(0, 2, 1) @ jnp.ones((4, 3)),
    "cut": lambda x: conv(x).reshape(2, 2, 2, 6, 8).sum((2, 4)),
    "ones": lambda x: conv(x).reshape(2, 1, 4, 6, 1, 8)[:, 0].sum(3),
    "rows": lambda x: conv(x).reshape(8, 48).max(0),
    "blocks": lambda x: conv(x).reshape(2, 4, 3, 2, 4, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 16, 3, 4),
    "reduce": lambda x: (conv(x).sum((0, 2)), conv(x).max(1), conv(x).prod((1, 2, 3))),
    "keep": lambda x: conv(x) - conv(x).mean((0, 2, 3), keepdims=True),
    "argmax": lambda x: (conv(x).argmax(1), conv(x).argmin(3)),
    "window": lambda x: _window(conv(x)),
    "window_sum": lambda x: lax.reduce_window(conv(x), 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "SAME"),
    "pad": lambda x: jnp.pad(conv(x), ((0, 1), (1, 0), (2, 0), (0, 3))),
    "slice": lambda x: conv(x)[:, 1:3, ::2, 1:],
    "index": lambda x: conv(x)[1, 2],
    "concatenate": lambda x: jnp.concatenate([x, conv(x)], 1),
    "split": lambda x: jnp.split(conv(x), 2, 1),
    "flip": lambda x: conv(x)[:, ::-1, :, ::-1],
    "scan": lambda x: jnp.cumsum(conv(x), 1),
    "sort": lambda x: jnp.sort(conv(x), 1),
    "where": lambda x: jnp.where(conv(x) > x, conv(x), 0.0),
    "clip": lambda x: jnp.clip(conv(x), -0.5, 0.5),
    "dynamic": lambda x: lax.dynamic_slice(conv(x), (0, 1, x.argmax() % 3, 0), (1, 2, 3, 4)),
    "update": lambda x: conv(x).at[:, 1].set(0.0),
    "barrier": lambda x: lax.optimization_barrier((conv(x), x)),
    "matrix": lambda x: jnp.einsum("nchw,co->nohw", conv(x), jnp.ones((4, 3))),
    "batches": lambda x: jax.vmap(lambda a: conv(a[None])[0])(x),
    "cast": lambda x: conv(x).astype(jnp.bfloat16),
    "loop": lambda x: lax.fori_loop(0, 2, lambda _, a: conv(a), x),
    "choice": lambda x: lax.cond(x.sum() > 0, conv, jnp.abs, x),
    "named": lambda x: jax.nn.relu6(conv(x)) + jax.jit(conv)(x),
    "again": lambda x: jax.checkpoint(lambda a: jnp.tanh(conv(a)))(x),
}


def _both(function, *args):
    closed = jax.make_jaxpr(function)(*args)
    return [jex.jaxpr_as_fun(c)(*args) for c in (closed, channels_last(closed))]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_computes_the_same(name):
    for a, b in zip(*_both(PROGRAMS[name], X)):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a.astype(np.float32), b.astype(np.float32), rtol=1e-4, atol=1e-4)


SMOOTH = [n for n in PROGRAMS if n not in ("argmax", "cast", "loop")]


@pytest.mark.parametrize("name", SMOOTH)
def test_it_computes_the_same_gradient(name):
    def loss(x, w):
        outs = jax.tree.leaves(PROGRAMS[name](conv(x, w)))
        return sum((o * jnp.cos(jnp.arange(o.size).reshape(o.shape))).sum() for o in outs)

    for a, b in zip(*_both(jax.grad(loss, (0, 1)), X, W)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(np.abs(a).max()))


@pytest.mark.parametrize("nd", [1, 3])
def test_other_dimensions(nd):
    x = jnp.asarray(RNG.standard_normal((2, 3, *(7, 5, 6)[:nd])), jnp.float32)
    w = jnp.asarray(RNG.standard_normal((4, 3, *(3,) * nd)), jnp.float32)

    def loss(x, w):
        return jnp.sin(lax.conv_general_dilated(x, w, (1,) * nd, ((1, 1),) * nd)).sum()

    for a, b in zip(*_both(jax.grad(loss, (0, 1)), x, w)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_transposed_convolutions_and_their_gradients(stride, kernel):
    layer = nn.ConvTranspose2d(4, 3, kernel, stride=stride, padding=1)
    x = torch.randn(2, 4, 9, 7, requires_grad=True)

    def step(x):
        layer.zero_grad()
        loss = layer(x).sin().sum()
        loss.backward()
        return loss

    step(x)
    want = [t.grad.clone() for t in (x, layer.weight, layer.bias)]
    x.grad = None
    torch.compile(step, fullgraph=True)(x)
    for a, b in zip(want, (x, layer.weight, layer.bias)):
        torch.testing.assert_close(a, b.grad, rtol=1e-4, atol=1e-4)


# in, out, groups, kernel, and options of the convolution: every form of ``_convolutions`` and what leads past it.
FORMS = {
    "one element": (6, 4, 1, (1, 1), {}),
    "one element, stride": (6, 4, 1, (1, 1), {"window_strides": (2, 3)}),
    "one element, borders": (6, 4, 1, (1, 1), {"padding": ((1, 0), (0, 2))}),
    "one element, spread": (6, 4, 1, (1, 1), {"lhs_dilation": (2, 3)}),
    "one channel": (1, 5, 1, (3, 2), {"padding": ((1, 1), (1, 0))}),
    "few channels": (3, 5, 1, (3, 3), {"window_strides": (2, 1), "padding": ((1, 2), (0, 1))}),
    "few channels, dilated": (2, 5, 1, (3, 2), {"rhs_dilation": (2, 3)}),
    "depthwise": (5, 5, 5, (3, 3), {"padding": ((1, 1), (1, 1))}),
    "depthwise, stride": (5, 5, 5, (3, 2), {"window_strides": (2, 3), "padding": ((1, 0), (2, 1))}),
    "depthwise, dilated": (4, 4, 4, (3, 2), {"rhs_dilation": (1, 2), "padding": ((0, 0), (1, 1))}),
    "depthwise, spread": (4, 4, 4, (3, 2), {"lhs_dilation": (2, 3), "padding": ((-1, 2), (1, 1))}),
    "depthwise, large": (3, 3, 3, (5, 4), {"padding": ((2, 2), (2, 1))}),
    "depthwise, several results": (3, 6, 3, (3, 3), {}),
    "small groups": (8, 4, 4, (3, 3), {"padding": ((1, 1), (1, 1))}),
    "small groups, stride": (6, 9, 3, (2, 3), {"window_strides": (2, 2)}),
    "groups of one element": (6, 4, 2, (1, 1), {}),
    "large groups": (64, 66, 2, (3, 3), {}),
    "line": (4, 4, 4, (4,), {"padding": ((3, 0),)}),
    "space": (4, 8, 4, (2, 3, 2), {"padding": ((1, 1),) * 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_convolutions(name):
    channels, out, groups, kernel, given = FORMS[name]
    nd = len(kernel)
    x = jnp.asarray(RNG.standard_normal((2, channels, *(8, 9, 5)[:nd])))
    w = jnp.asarray(RNG.standard_normal((out, channels // groups, *kernel)))
    options = {"window_strides": (1,) * nd, "padding": ((0, 0),) * nd, "feature_group_count": groups, **given}

    def loss(x, w):
        result = lax.conv_general_dilated(x, w, **options)
        return (result * jnp.cos(jnp.arange(result.size)).reshape(result.shape)).sum(), result

    def second(x, w):
        first = jax.grad(lambda *a: loss(*a)[0] ** 2, (0, 1))(x, w)
        return sum((g * jnp.sin(jnp.arange(g.size)).reshape(g.shape)).sum() for g in first)

    for function in (jax.value_and_grad(loss, (0, 1), has_aux=True), jax.grad(second, (0, 1))):
        wanted, found = _both(lambda *a, f=function: jax.tree.leaves(f(*a)), x, w)
        for a, b in zip(wanted, found):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(np.abs(a).max()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "complex64", "int32"])
@pytest.mark.parametrize("name", ["one channel", "depthwise", "small groups"])
def test_forms_keep_dtypes(name, dtype):
    channels, out, groups, kernel, _ = FORMS[name]
    x = jnp.asarray(RNG.integers(-4, 5, (2, channels, 8, 9)), dtype)
    w = jnp.asarray(RNG.integers(-4, 5, (out, channels // groups, *kernel)), dtype)
    (a,), (b,) = _both(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", feature_group_count=groups), x, w)
    assert a.dtype == b.dtype == dtype
    np.testing.assert_array_equal(np.asarray(a).astype("complex64"), np.asarray(b).astype("complex64"))


@pytest.mark.parametrize("name", ["depthwise", "small groups"])
def test_what_is_not_finite_stays_in_its_group(name):
    channels, out, groups, kernel, _ = FORMS[name]
    x = torch.randn(2, channels, 8, 9)
    x[:, 0] = torch.inf
    x[:, 1] = torch.nan
    x.requires_grad_()
    layer = nn.Conv2d(channels, out, kernel, groups=groups)
    result = layer(x)
    result.nan_to_num(0, 0, 0).sum().backward()
    bad = out // groups * (2 if channels == groups else 1)
    assert not result[:, :bad].isfinite().any() and result[:, bad:].isfinite().all()
    assert not layer.weight.grad[:bad].isfinite().all() and layer.weight.grad[bad:].isfinite().all()


def test_eager_layers_take_these_forms(monkeypatch):
    """A layer is compiled by itself, in a good form: with groups, and for its gradients, no group is left to XLA."""
    seen = []
    plain = lax.conv_general_dilated

    def watched(*args, **kwargs):
        seen.append(args[7:9] if len(args) > 8 else (kwargs.get("feature_group_count"), 1))
        return plain(*args, **kwargs)

    layer = nn.Conv2d(24, 24, 3, groups=3)
    monkeypatch.setattr(forms.lax, "conv_general_dilated", watched)
    x = torch.randn(2, 24, 7, 8, requires_grad=True)
    layer(x).sum().backward()
    inside = [counts for counts in seen if counts != (3, 1)]
    assert inside and set(inside) == {(1, 1)}


def _transposes(closed) -> list:
    """Shapes of what is moved; broadcasts are made in either order."""
    made = {v for e in closed.jaxpr.eqns if e.primitive.name == "broadcast_in_dim" for v in e.outvars}
    moves = [e.invars[0] for e in closed.jaxpr.eqns if e.primitive.name == "transpose"]
    return [v.aval.shape for v in moves if v not in made]


def test_values_between_convolutions_are_not_transposed():
    def net(x, w):
        for _ in range(3):
            x = jax.nn.relu(conv(x, w))
            x = x - x.mean((0, 2, 3), keepdims=True)
        return x.mean((2, 3)).sum()

    found = _transposes(channels_last(jax.make_jaxpr(jax.grad(net, 1))(X, W)))
    # The input, the gradient that comes in, and by layer the two operands of its kernel's gradient.
    large = [s for s in found if int(np.prod(s)) == X.size]
    assert len(large) <= 2 + 2 * 3, f"{len(large)}: {large}"


@pytest.mark.parametrize(
    "program",
    [
        lambda x: lax.fori_loop(0, 2, lambda _, a: conv(a), x),
        lambda x: lax.cond(x.sum() > 0, conv, jnp.abs, x),
        lambda x: lax.while_loop(lambda a: conv(a).sum() > 1e9, conv, x),
        lambda x: lax.scan(lambda a, w: (conv(a, w), a), x, jnp.stack([W, W]))[0],
    ],
    ids=["loop", "choice", "while", "scan"],
)
def test_what_loops_and_choices_call_is_rearranged(program):
    closed = channels_last(jax.make_jaxpr(program)(X))
    text = str(closed)
    assert text.count("lhs_spec=(0, 3, 1, 2)") == text.count("lhs_spec=") > 0
    np.testing.assert_allclose(jex.jaxpr_as_fun(closed)(X)[0], program(X), rtol=1e-4, atol=1e-4)


def test_a_program_keeps_its_inputs_and_outputs():
    closed = jax.make_jaxpr(lambda x, y: (conv(x), y, x))(X, 2.0)
    new = channels_last(closed)
    assert [v.aval for v in new.jaxpr.invars] == [v.aval for v in closed.jaxpr.invars]
    assert new.out_avals == closed.out_avals
