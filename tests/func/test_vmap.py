"""What ``vmap`` refuses, what it leaves behind, and the transforms inside compiled functions."""

import pytest

import rushlight as torch


def test_writing_a_batch_into_one_tensor_is_refused():
    buffer = torch.zeros(2)
    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        torch.vmap(lambda x: buffer.add_(x))(torch.ones(3, 2))
    assert buffer.tolist() == [0.0, 0.0]
    out = torch.vmap(lambda x: x.clone().add_(buffer + 1))(torch.ones(3, 2))
    assert out.tolist() == [[2.0, 2.0]] * 3


@pytest.mark.parametrize("look", [lambda x: x.item(), lambda x: x * 2 if x > 0 else x, lambda x: torch.ones(int(x))])
def test_looking_at_values_is_refused(look):
    with pytest.raises(RuntimeError, match="using its values in Python"):
        torch.vmap(look)(torch.ones(3))


def test_a_failure_leaves_no_frame_behind():
    def fails(x):
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        torch.vmap(fails)(torch.ones(3))
    assert torch.rand(2).shape == (2,)


def test_random_numbers_by_example_differ_and_shared_ones_do_not():
    x = torch.zeros(4, 2)
    different = torch.vmap(lambda row: row + torch.randn(2), randomness="different")(x)
    assert len({tuple(row) for row in different.tolist()}) == 4
    same = torch.vmap(lambda row: row + torch.randn(2), randomness="same")(x)
    assert len({tuple(row) for row in same.tolist()}) == 1
    both = torch.vmap(
        lambda a: torch.vmap(lambda b: b + torch.rand(1), randomness="different")(a), randomness="same"
    )(torch.zeros(2, 3, 1))  # fmt: skip
    assert both[0].tolist() == both[1].tolist() and len(set(both[0].flatten().tolist())) == 3


class Scaled(torch.autograd.Function):
    """x * w, with a derivative that is seen to be the hand-written one: twice the true one."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x)
        ctx.w = w
        return x * w, x.sum()

    @staticmethod
    def backward(ctx, grad, total):
        (x,) = ctx.saved_tensors
        return 2 * grad * ctx.w + total, 2 * grad * x


def both(x, w):
    first, total = Scaled.apply(x, w)
    return first * total


def one_by_one(x, w):
    return torch.stack([both(row, w) for row in x])


def test_a_custom_function_is_differentiated_from_inside_and_outside():
    """Batched saved tensors, attributes and inputs; inputs that all examples share; twice differentiated."""
    draw = torch.Generator().manual_seed(0)
    found = []
    for run in (lambda x, w: torch.vmap(both, (0, None))(x, w), one_by_one):
        draw.manual_seed(0)
        x = torch.randn(4, 3, generator=draw).requires_grad_()
        w = torch.randn(3, generator=draw).requires_grad_()
        out = run(x, w)
        grads = torch.autograd.grad((out**2).sum(), (x, w), create_graph=True)
        found.append([out, *grads, *torch.autograd.grad((grads[0] ** 2).sum() + grads[1].sum(), (x, w))])
        run(x, w).sum().backward()
        found[-1] += [x.grad, w.grad]
    for ours, wanted in zip(*found):
        torch.testing.assert_close(ours, wanted)
    inside = torch.vmap(torch.func.grad(lambda x, w: both(x, w).sum(), argnums=1), (0, None))(x, w)
    wanted = torch.stack([torch.func.grad(lambda w, row=row: both(row, w).sum())(w) for row in x])
    torch.testing.assert_close(inside, wanted)


def test_a_custom_function_under_two_batches():
    x = torch.randn(2, 3, 4).requires_grad_()
    w = torch.randn(3, 4).requires_grad_()
    out = torch.vmap(torch.vmap(both), (0, None))(x, w)
    (out**2).sum().backward()
    got = x.grad, w.grad
    x.grad = w.grad = None
    wanted = torch.stack([torch.stack([both(a, b) for a, b in zip(rows, w)]) for rows in x])
    torch.testing.assert_close(out, wanted)
    (wanted**2).sum().backward()
    torch.testing.assert_close(got[0], x.grad)
    torch.testing.assert_close(got[1], w.grad)


def test_gradients_of_an_input_that_is_given_back():
    x = torch.ones(2, 3, requires_grad=True)
    out = torch.vmap(lambda row: row, out_dims=1)(x)
    assert out.shape == (3, 2)
    out.sum().backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2


def test_transforms_inside_a_compiled_function():
    w = torch.nn.Parameter(torch.ones(3))

    def step(x):
        w.grad = None
        per_row = torch.vmap(torch.func.grad(lambda row: (w * row**2).sum()))(x)
        loss = (per_row**2).sum() + torch.func.jvp(lambda z: z**3, (w,), (w,))[1].sum()
        loss.backward()
        return loss

    x = torch.arange(6.0).reshape(2, 3)
    eager = step(x), w.grad.clone()
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(2):
        loss = compiled(x)
        assert loss.item() == pytest.approx(eager[0].item())
        assert w.grad.tolist() == pytest.approx(eager[1].tolist())


def test_hessian_of_a_model_with_respect_to_its_parameters():
    net = torch.nn.Linear(2, 1, bias=False)
    params = dict(net.named_parameters())
    x = torch.tensor([[1.0, 2.0]])
    found = torch.func.hessian(lambda p: (torch.func.functional_call(net, p, x) ** 2).sum())(params)
    assert found["weight"]["weight"].squeeze().tolist() == [[2.0, 4.0], [4.0, 8.0]]
    assert net.weight.grad is None
