"""Habits of existing programs that are easily forgotten: each does the same in PyTorch and here."""

import collections

import pytest

import rushlight

torch = pytest.importorskip("torch")
BOTH = (torch, rushlight)


def outcome(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.LongTensor(range(5)).tolist(),
        lambda t: t.FloatTensor(collections.deque([1, 2])).tolist(),
        lambda t: t.Tensor(range(3)).tolist(),
        lambda t: t.LongTensor("ab"),
        lambda t: t.LongTensor(b"ab"),
        lambda t: t.LongTensor({1, 2}),
    ],
)
def test_old_constructors(make):
    expected, found = (outcome(lambda t=t: make(t)) for t in BOTH)
    assert expected == found


def test_a_context_with_attributes_named_like_its_own():
    def run(t):
        class Twice(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, name):
                ctx.name, ctx.outputs_seen = name, 1
                ctx.save_for_backward(x)
                return x * 2, name

            @staticmethod
            def backward(ctx, grad, _):
                return grad * 2 * ctx.saved_tensors[0].sign() * len(ctx.name), None

        x = t.tensor([1.0, -2.0], requires_grad=True)
        y, name = Twice.apply(x, "abc")
        y.sum().backward()
        return name, x.grad.tolist()

    assert run(torch) == run(rushlight)


def test_a_hook_after_accumulation_that_returns_something():
    def run(t):
        x = t.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(2))
        return outcome(lambda: x.sum().backward())

    assert run(torch) == run(rushlight)
