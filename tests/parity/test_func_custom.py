"""Custom functions under vmap, with a rule of their own or a generated one, in both libraries and compared."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity


def functions(t):
    class Cube(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3, 3 * x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0], output[1])
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, grad, _):
            x, slope = ctx.saved_tensors
            return grad * (slope if not t.is_grad_enabled() else 3 * x**2)

    class Sorted(t.autograd.Function):
        seen: list = []

        @staticmethod
        def forward(x, dim, w):
            return x.sort(dim).values * w, x.argsort(dim)

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.dim, w = inputs
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(x, output[1], w)

        @staticmethod
        def backward(ctx, grad, _):
            x, places, w = ctx.saved_tensors
            back = t.zeros_like(x).scatter(ctx.dim, places, (grad * w).expand_as(x))
            return back, None, (grad * x.gather(ctx.dim, places)).sum()

        @staticmethod
        def vmap(info, in_dims, x, dim, w):
            Sorted.seen.append((info.batch_size, info.randomness, in_dims[0] is None, in_dims[2] is None))
            x = x.movedim(in_dims[0], 0)
            if in_dims[2] is not None:
                w = w.movedim(in_dims[2], 0).reshape(-1, *(1 for _ in x.shape[1:]))
            values, places = (
                Sorted.apply(x, dim + 1 if dim >= 0 else dim, w) if in_dims[2] is None else by_hand(x, dim, w)
            )
            return (values, places), (0, 0)

    def by_hand(x, dim, w):
        values = x.sort(dim).values * w
        return values, x.argsort(dim)

    return Cube, Sorted


def data(t, *shape):
    return t.tensor(np.random.default_rng(len(shape)).standard_normal(shape), requires_grad=True)


def cube(t, Cube, Sorted):
    x = data(t, 3, 2)
    out = t.vmap(lambda row: Cube.apply(row)[0].sum())(x)
    (first,) = t.autograd.grad(out.sum(), x, create_graph=True)
    (second,) = t.autograd.grad(first.sum(), x)
    return out, first, second


def cube_columns(t, Cube, Sorted):
    x = data(t, 3, 2)
    value, slope = t.vmap(Cube.apply, in_dims=1, out_dims=(1, 0))(x)
    (value * value).sum().backward()
    return value, slope, x.grad


def cube_inside(t, Cube, Sorted):
    return t.vmap(t.func.grad(lambda v: Cube.apply(v)[0].sum()))(data(t, 3, 2).detach())


def rule(t, Cube, Sorted):
    x, w = data(t, 4, 3), t.tensor(2.0, dtype=t.float64, requires_grad=True)
    values, places = t.vmap(lambda row: Sorted.apply(row, -1, w))(x * 2)
    (values**2).sum().backward()
    return values, places, x.grad, w.grad, Sorted.seen


def rule_on_leaf(t, Cube, Sorted):
    x, w = data(t, 4, 3), t.tensor(2.0, dtype=t.float64)
    values, _ = t.vmap(lambda row: Sorted.apply(row, 0, w), randomness="same")(x)
    (values.exp()).sum().backward()
    return values, x.grad, Sorted.seen


def rule_both_batched(t, Cube, Sorted):
    x, w = data(t, 4, 3), data(t, 4)
    values, _ = t.vmap(lambda row, w: [v * row[0] for v in Sorted.apply(row * w, -1, w)])(x, w)
    (values**2).sum().backward()
    return values, x.grad, w.grad, Sorted.seen


def rule_twice(t, Cube, Sorted):
    x, w = data(t, 2, 4, 3), t.tensor(2.0, dtype=t.float64, requires_grad=True)
    values, _ = t.vmap(t.vmap(lambda row: Sorted.apply(row, -1, w)))(x)
    (values**2).sum().backward()
    return values, x.grad, w.grad, [seen[0] for seen in Sorted.seen]


def not_batched(t, Cube, Sorted):
    x, y, w = data(t, 3), data(t, 2), t.tensor(2.0, dtype=t.float64)
    out = t.vmap(lambda a: Sorted.apply(x, -1, w)[0].sum() * a)(y)
    out.sum().backward()
    return out, x.grad, y.grad, Sorted.seen


PROGRAMS = [cube, cube_columns, cube_inside, rule, rule_on_leaf, rule_both_batched, rule_twice, not_batched]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_programs(program):
    ours, theirs = (program(t, *functions(t)) for t in (rushlight, torch))
    assert len(ours if isinstance(ours, tuple) else (ours,)) == len(theirs if isinstance(theirs, tuple) else (theirs,))
    for a, b in zip(ours if isinstance(ours, tuple) else (ours,), theirs if isinstance(theirs, tuple) else (theirs,)):
        if isinstance(b, torch.Tensor):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-10)
        else:
            assert a == b


def both_ways(t):
    return type("F", (t.autograd.Function,), {
        "generate_vmap_rule": True, "forward": staticmethod(lambda x: x), "setup_context": staticmethod(lambda *a: None),
        "vmap": staticmethod(lambda info, dims, x: (x, 0)),
    })  # fmt: skip


def no_pair(t, returned):
    return type("F", (t.autograd.Function,), {
        "forward": staticmethod(lambda x: x), "setup_context": staticmethod(lambda *a: None),
        "vmap": staticmethod(lambda info, dims, x: returned(x)),
    })  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [both_ways, lambda t: no_pair(t, lambda x: x), lambda t: no_pair(t, lambda x: (x, 0, 0))],
    ids=["both", "one", "three"],
)
def test_mistakes(make):
    raised = []
    for t in (rushlight, torch):
        with pytest.raises(RuntimeError) as caught:
            t.vmap(make(t).apply)(t.ones(2))
        raised.append(str(caught.value).replace("rushlight.Tensor", "torch.Tensor").split("Got a")[0])
    assert raised[0] == raised[1]
