"""Programs of views, in-place writes, hooks and higher derivatives, run in both libraries and compared."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
# torch warns of the reference cycle that create_graph=True makes; the programs make it on purpose.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:Using backward:UserWarning")]


def leaf(t, *shape, dtype="float64", seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return t.tensor(values, dtype=getattr(t, dtype), requires_grad=True)


def view_then_write(t):
    x = leaf(t, 3, 4)
    y = x * 2
    y[1] = 7.0
    v = y[:, 1:3]
    v.mul_(3)
    (y * y).sum().backward()
    return x.grad, y, v


def write_through_transpose(t):
    x = leaf(t, 3, 4)
    y = x.clone()
    w = y.t()
    w[2] = leaf(t, 3, seed=1)
    w.add_(1)
    z = (y * leaf(t, 3, 4, seed=2).detach()).sum()
    z.backward()
    return x.grad, y, w


def view_of_view(t):
    x = leaf(t, 2, 3, 4)
    y = x * 1
    v = y.reshape(6, 4)[2:5].unsqueeze(1)
    v.copy_(leaf(t, 3, 1, 4, seed=3) * 2)
    (y**2).sum().backward()
    return x.grad, y, v


def view_regains_history(t):
    x, b = leaf(t, 4), t.zeros(4, dtype=t.float64)
    v = b[1:3]
    b.add_(x)
    v.sum().backward()
    return x.grad, b, v


def no_grad_write(t):
    x = leaf(t, 3)
    with t.no_grad():
        x[1] = 5.0
        x.mul_(2)
    (x**3).sum().backward()
    return x, x.grad


def detach_shares(t):
    x = leaf(t, 3)
    d = x.detach()
    d[0] = 100.0
    (x * x).sum().backward()
    return x, x.grad, d


def second_order(t):
    x = leaf(t, 5)
    (g,) = t.autograd.grad((x**4).sum(), x, create_graph=True)
    (h,) = t.autograd.grad((g * g).sum(), x, create_graph=True)
    (third,) = t.autograd.grad(h.sum(), x)
    return g, h, third


def grad_of_grad_accumulates(t):
    x = leaf(t, 3)
    y = (x * x * x).sum()
    y.backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g * g).sum().backward()
    return g.detach(), x.grad


def accumulate_twice(t):
    x = leaf(t, 3)
    for _ in range(2):
        (x * 2).sum().backward()
    return (x.grad,)


def shared_subgraph(t):
    x = leaf(t, 3)
    y = x * x
    z = y * x + y
    (z * y).sum().backward()
    return (x.grad,)


def tensor_hooks(t):
    x = leaf(t, 3)
    seen = []
    x.register_hook(lambda g: seen.append(g.clone()) or g * 2)
    y = x * 3
    handle = y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: seen.append(g.clone()))
    y.sum().backward(retain_graph=True)
    handle.remove()
    y.sum().backward()
    return (x.grad, *seen)


def retained(t):
    x = leaf(t, 3)
    y = x * x
    y.retain_grad()
    (y * y).sum().backward()
    return x.grad, y.grad


def post_accumulate(t):
    x = leaf(t, 3)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    (x * 2).sum().backward()
    return tuple(seen)


def into_inputs(t):
    x, y = leaf(t, 3), leaf(t, 3, seed=1)
    (x * y).sum().backward(inputs=[x])
    assert y.grad is None
    return (x.grad,)


def grad_of_intermediate(t):
    x = leaf(t, 3)
    y = x * x
    z = (y * y).sum()
    return t.autograd.grad(z, [x, y])


def unused_allowed(t):
    x, y = leaf(t, 3), leaf(t, 3, seed=1)
    a, b = t.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert b is None
    (_, c) = t.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    return a, c


def complex_gradient(t):
    x = leaf(t, 4, dtype="float64")
    z = t.view_as_complex(x.reshape(2, 2))
    (z * z.conj() * (1 + 2j)).real.sum().backward()
    return (x.grad,)


def broadcast_gradient(t):
    x, y = leaf(t, 3, 1), leaf(t, 4, seed=1)
    (x * y + x).sum().backward()
    return x.grad, y.grad


def mixed_dtypes(t):
    x, y = leaf(t, 3, dtype="float32"), leaf(t, 3, dtype="float64", seed=1)
    (x * y).sum().backward()
    return x.grad, y.grad


def index_gradient(t):
    x = leaf(t, 4, 3)
    i = t.tensor([0, 2, 0])
    (x[i] * leaf(t, 3, 3, seed=1).detach()).sum().backward()
    return (x.grad,)


def mask_write(t):
    x = leaf(t, 4)
    y = x * 1
    y[x.detach() > 0] = 0.5
    (y * y).sum().backward()
    return x.grad, y


def expand_sum(t):
    x = leaf(t, 3, 1)
    (x.expand(3, 5) * leaf(t, 3, 5, seed=2).detach()).sum().backward()
    return (x.grad,)


def detach_in_place(t):
    x = leaf(t, 3)
    y = x * 2
    y.detach_()
    assert y.is_leaf and not y.requires_grad
    return (y,)


PROGRAMS = [
    view_then_write, write_through_transpose, view_of_view, view_regains_history, no_grad_write, detach_shares,
    second_order, grad_of_grad_accumulates, accumulate_twice, shared_subgraph, tensor_hooks, retained, post_accumulate,
    into_inputs, grad_of_intermediate, unused_allowed, complex_gradient, broadcast_gradient, mixed_dtypes,
    index_gradient, mask_write, expand_sum, detach_in_place,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_same_as_torch(program):
    expected, received = program(torch), program(rushlight)
    assert len(expected) == len(received) > 0
    for e, r in zip(expected, received):
        assert str(e.dtype) == str(r.dtype) and tuple(e.shape) == tuple(r.shape)
        assert e.requires_grad == r.requires_grad and e.is_leaf == r.is_leaf
        np.testing.assert_allclose(r.detach().numpy(), e.detach().numpy(), rtol=1e-6, atol=1e-9)


def leaf_in_place(t):
    leaf(t, 3).add_(1)


def view_of_leaf_in_place(t):
    leaf(t, 3)[0] = 1.0


def second_backward(t):
    y = (leaf(t, 3) ** 2).sum()
    y.backward()
    y.backward()


def no_graph(t):
    t.ones(3).sum().backward()


def not_scalar(t):
    (leaf(t, 3) * 2).backward()


def wrong_gradient_shape(t):
    (leaf(t, 3) * 2).backward(t.ones(2, dtype=t.float64))


def integer_requires_grad(t):
    t.tensor([1], requires_grad=True)


def numpy_of_grad(t):
    leaf(t, 3).numpy()


def unused_refused(t):
    t.autograd.grad(leaf(t, 3).sum(), leaf(t, 2))


def hook_without_grad(t):
    t.ones(2).register_hook(lambda g: g)


def turn_off_non_leaf(t):
    (leaf(t, 3) * 2).requires_grad_(False)


def grad_of_other_shape(t):
    leaf(t, 3).grad = t.ones(2, dtype=t.float64)


def copy_non_leaf(t):
    import copy

    copy.deepcopy(leaf(t, 3) * 2)


def long_bool(t):
    bool(t.ones(2))


def expanded_write(t):
    t.zeros(3, 1).expand(3, 4).add_(1)


MISUSE = [
    leaf_in_place, view_of_leaf_in_place, second_backward, no_graph, not_scalar, wrong_gradient_shape,
    integer_requires_grad, numpy_of_grad, unused_refused, hook_without_grad, turn_off_non_leaf, grad_of_other_shape,
    copy_non_leaf, long_bool, expanded_write,
]  # fmt: skip


@pytest.mark.parametrize("program", MISUSE, ids=lambda p: p.__name__)
def test_same_exception(program):
    with pytest.raises(Exception) as expected:
        program(torch)
    with pytest.raises(Exception) as received:
        program(rushlight)
    assert type(received.value) is type(expected.value)
    # The first words are what programs match on.
    head = " ".join(str(expected.value).split()[:5])
    assert str(received.value).startswith(head)


@pytest.mark.parametrize("library", [torch, rushlight])
def test_grad_takes_its_options_in_order_and_inputs_by_name(library):
    x, y = (library.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    unused = library.ones((), requires_grad=True)
    found = library.autograd.grad(x * y, (x, unused), None, None, False, True, True)
    assert found[0].item() == 3.0 and found[1] is None
    assert {k: v.item() for k, v in library.autograd.grad(x * y, {"b": y, "a": x}).items()} == {"b": 2.0, "a": 3.0}
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        library.autograd.grad(x * y, x, only_inputs=False)
