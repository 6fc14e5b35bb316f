"""Programs of tensors with tangents, run in both libraries and compared."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
# torch builds its rules with a part of itself that it deprecates.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")]


def numbers(t, *shape, seed=0, dtype="float64"):
    return t.tensor(np.random.default_rng(seed).uniform(0.1, 2.0, shape), dtype=getattr(t, dtype))


def unpack(t, *tensors):
    return [tuple(t.autograd.forward_ad.unpack_dual(x)) for x in tensors]


def pair(t, *shape, seed=0, dtype="float64"):
    value, tangent = (numbers(t, *shape, seed=s, dtype=dtype) for s in (seed, seed + 100))
    return t.autograd.forward_ad.make_dual(value, tangent), value, tangent


OPERATORS = [
    lambda t, x: x.sin() * 3 + x**2 / (1 + x),
    lambda t, x: t.logsumexp(x, -1),
    lambda t, x: x @ x.mT,
    lambda t, x: x.sort(-1, descending=True).values,
    lambda t, x: x.cumsum(0).amax(1),
    lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:]),
    lambda t, x: t.nn.functional.softmax(x, -1).log(),
    lambda t, x: t.nn.functional.gelu(x),
    lambda t, x: t.nn.functional.conv1d(x[None], x[:1, None, :3].expand(2, 3, 3)),
    lambda t, x: t.cat([x, numbers(t, 1, 4, seed=5), x[:1]]),
    lambda t, x: t.where(x > 1, x, x * x),
    lambda t, x: x.reshape(2, 6).t()[1:, None],
    lambda t, x: t.linalg.solve(x[:, :3] + 5 * t.eye(3, dtype=x.dtype), x[:, 3]),
    lambda t, x: x[x > 1],
    lambda t, x: x.norm() + x.std(),
    lambda t, x: t.einsum("ij,kj->ik", x, x),
    lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 2, 1])),
    lambda t, x: t.complex(x, x * 2).abs(),
    lambda t, x: t.fft.fft(x).real,
    lambda t, x: t.nn.functional.max_pool1d(x, 2),
    lambda t, x: x.to(t.float32),
    lambda t, x: t.stack(list(x.unbind(1))),
]


@pytest.mark.parametrize("place", range(len(OPERATORS)))
def test_operators(place):
    results = []
    for t in (rushlight, torch):
        with t.autograd.forward_ad.dual_level():
            x, _, _ = pair(t, 3, 4)
            results.append(unpack(t, OPERATORS[place](t, x))[0])
    (value, tangent), (right_value, right_tangent) = results
    for ours, theirs in ((value, right_value), (tangent, right_tangent)):
        assert str(ours.dtype) == str(theirs.dtype) and tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            ours.numpy(), theirs.numpy(), rtol=1e-6 if ours.dtype == rushlight.float32 else 1e-10
        )


def views_share(t):
    z = t.zeros(4, dtype=t.float64)
    part, other = z[1:], z[:2]
    x, _, _ = pair(t, 3)
    part.copy_(x)
    return unpack(t, z, part, other, z.view(2, 2))


def write_items(t):
    x, value, _ = pair(t, 2, 3)
    y = x * 1
    column = y[:, 1]
    y[0] = 5.0
    column.mul_(2)
    y[1, 1:] = x[0, :2]
    return [*unpack(t, y, column, x), value]


def in_place(t):
    x, value, tangent = pair(t, 3)
    # (torch gives another tangent where a tensor is multiplied by itself in place)
    x.mul_(numbers(t, 3, seed=3))
    x.sin_().add_(1)
    return [*unpack(t, x), value, tangent]


def zeroed(t):
    x, value, tangent = pair(t, 3)
    x.zero_()
    return [*unpack(t, x), value, tangent]


def modes(t):
    x, _, tangent = pair(t, 3)
    with t.no_grad():
        quiet = x * 2
    with t.inference_mode():
        none = x * 2
    primal, same = unpack(t, x)[0]
    return [
        *unpack(t, quiet, x.detach(), x.data, x > 0, x.argmax(), primal, primal[1:], primal * 2),
        *unpack(t, none),
        same is tangent,
    ]


def reverse_of_forward(t):
    x = numbers(t, 3).requires_grad_()
    dual = t.autograd.forward_ad.make_dual(x, numbers(t, 3, seed=9))
    out = (dual.exp() * dual).sum()
    value, tangent = unpack(t, out)[0]
    (first,) = t.autograd.grad(value, x, retain_graph=True)
    (second,) = t.autograd.grad(tangent, x)
    return first, second, dual.requires_grad


def tangent_of_gradient(t):
    x, _, _ = pair(t, 3)
    x = x.requires_grad_()
    (first,) = t.autograd.grad((x**3).sum(), x, create_graph=True)
    (plain,) = t.autograd.grad((x**3).sum(), x)
    return unpack(t, first, plain), plain.requires_grad, first.requires_grad


def parameters(t):
    t.manual_seed(0)
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))
    x = numbers(t, 5, 3, dtype="float32")
    for module in model:
        for name, p in list(module.named_parameters()):
            tangent = t.ones_like(p)
            delattr(module, name)
            setattr(module, name, t.autograd.forward_ad.make_dual(p, tangent))
    return unpack(t, model(x))


def no_tangent(t):
    x, _, _ = pair(t, 3)
    y = numbers(t, 3, seed=4)
    return unpack(t, y, y * 2, x.round())


class _Scale:
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_forward(x, y)
        return x * y, x + 1

    @staticmethod
    def jvp(ctx, dx, dy):
        x, y = ctx.saved_tensors
        return dx * y + x * dy, dx


def custom(t):
    function = type("Scale", (_Scale, t.autograd.Function), {})
    x, _, _ = pair(t, 3)
    y = numbers(t, 3, seed=7)
    return unpack(t, *function.apply(x, y), *function.apply(y, y), *function.apply(y, x))


def printed(t):
    x, _, _ = pair(t, 3, dtype="float32")
    return repr(x), repr(x[:2].sum())


def after(t):
    x, _, _ = pair(t, 3)
    y = x * 2
    t.autograd.forward_ad.exit_dual_level()
    out = unpack(t, y, x), repr(y)
    t.autograd.forward_ad.enter_dual_level()
    return out


PROGRAMS = [
    views_share, write_items, in_place, zeroed, modes, reverse_of_forward, tangent_of_gradient, parameters, no_tangent,
    custom, printed, after,
]  # fmt: skip


def same(ours, theirs):
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            same(a, b)
    elif isinstance(theirs, torch.Tensor):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-7)
    else:
        assert ours == theirs


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_programs(program):
    results = []
    for t in (rushlight, torch):
        with t.autograd.forward_ad.dual_level():
            results.append(program(t))
    same(*results)


def nested(t):
    t.autograd.forward_ad.enter_dual_level()


MISTAKES = {
    "size": lambda t, f, x: f.make_dual(numbers(t, 3), numbers(t, 4)),
    "primal": lambda t, f, x: f.make_dual(t.ones(3, dtype=t.int32), numbers(t, 3)),
    "tangent": lambda t, f, x: f.make_dual(numbers(t, 3), t.ones(3, dtype=t.int32)),
    "again": lambda t, f, x: f.make_dual(x, numbers(t, 3)),
    "of tangent": lambda t, f, x: f.make_dual(numbers(t, 3), x),
    "nested": lambda t, f, x: f.enter_dual_level(),
    "out": lambda t, f, x: t.exp(x, out=t.empty(3, dtype=t.float64)),
    "level": lambda t, f, x: f.exit_dual_level(level=3),
    "no rule": lambda t, f, x: type("F", (t.autograd.Function,), {"forward": staticmethod(lambda ctx, x: x * 2)}).apply(
        x
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    raised = []
    for t in (rushlight, torch):
        forward_ad = t.autograd.forward_ad
        with forward_ad.dual_level():
            x, _, _ = pair(t, 3)
            with pytest.raises(Exception) as caught:
                MISTAKES[name](t, forward_ad, x)
            raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]


@pytest.mark.parametrize("t", [rushlight, torch], ids=["rushlight", "torch"])
def test_without_a_level(t):
    with pytest.raises(RuntimeError, match="no level exists"):
        t.autograd.forward_ad.make_dual(numbers(t, 3), numbers(t, 3))
    x = numbers(t, 3)
    value, tangent = t.autograd.forward_ad.unpack_dual(x)
    assert value is x and tangent is None
    with pytest.raises(RuntimeError):
        t.autograd.forward_ad.exit_dual_level()


class _Wrong(rushlight.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * 3


def test_gradcheck():
    check = rushlight.autograd.gradcheck
    x = numbers(rushlight, 2, 2).requires_grad_()
    z = rushlight.complex(x.detach(), x.detach() + 1).requires_grad_()
    assert check(lambda x, z: (x.sin() @ x, z * z, z.abs()), (x, z), check_forward_ad=True)
    assert check(rushlight.exp, x, check_forward_ad=True, check_backward_ad=False)
    with pytest.raises(RuntimeError, match="Jacobian computed with forward mode mismatch for output 0"):
        check(_Wrong.apply, x, check_forward_ad=True, check_backward_ad=False)


def test_batched_and_compiled():
    """A Jacobian column by column under vmap; and a compiled function, which carries tangents too."""
    forward_ad = rushlight.autograd.forward_ad
    x = numbers(rushlight, 3)
    with forward_ad.dual_level():

        def column(tangent):
            return forward_ad.unpack_dual(forward_ad.make_dual(x, tangent) ** 2).tangent

        found = rushlight.vmap(column)(rushlight.eye(3, dtype=rushlight.float64))
        np.testing.assert_allclose(found.numpy(), np.diag(2 * x.numpy()))
        made = rushlight.compile(lambda x: x.sin())
        dual = forward_ad.make_dual(x, rushlight.ones_like(x))
        np.testing.assert_allclose(forward_ad.unpack_dual(made(dual)).tangent.numpy(), np.cos(x.numpy()))

    @rushlight.compile(fullgraph=True)
    def whole(x, t):
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(forward_ad.make_dual(x, t).sin()).tangent

    np.testing.assert_allclose(whole(x, 2 * rushlight.ones_like(x)).numpy(), 2 * np.cos(x.numpy()))
