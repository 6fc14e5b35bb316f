"""A call is recognised as one like the last only where everything that decides the program is the same."""

import contextlib

import pytest

import rushlight as torch

W = torch.randn(4, 4)


def compiled():
    @torch.compile(fullgraph=True)
    def f(x, y):
        return (x + y + torch.ones(())) @ W

    return f


@contextlib.contextmanager
def default(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def call(f, x, y, mode):
    with mode():
        return f(x, y)


X, Y = torch.randn(2, 4), torch.randn(2, 4)
SAME = contextlib.nullcontext
CHANGES = {
    "autocast": (X, Y, lambda: torch.autocast("cpu", dtype=torch.bfloat16), lambda a: a.dtype),
    "default dtype": (X.double(), Y.double(), lambda: default(torch.float64), lambda a: a.dtype),
    "no grad": (X.clone().requires_grad_(), Y, torch.no_grad, lambda a: a.requires_grad),
    "inference": (X, Y, torch.inference_mode, lambda a: a.is_inference()),
    "shape": (torch.randn(3, 4), torch.randn(3, 4), SAME, lambda a: a.shape),
    "broadcast": (X, torch.randn(4), SAME, lambda a: a.shape),
    "dtype": (X, Y.to(torch.bfloat16), SAME, lambda a: a.dtype),
    "requires grad": (X.clone().requires_grad_(), Y, SAME, lambda a: a.requires_grad),
    "the same twice": (X, X, SAME, lambda a: a.shape),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_after_like_calls(name):
    x, y, mode, what = CHANGES[name]
    if name == "default dtype":
        global W
        kept, W = W, W.double()
    try:
        f = compiled()
        first = (x, y) if name in ("autocast", "default dtype", "no grad", "inference") else (X, Y)
        for _ in range(3):
            plain = f(*first)
        assert f._recent is not None and f._recent.leaves(first) is not None
        got = call(f, x, y, mode)
        want = call(f.function, x, y, mode)
        assert what(got) == what(want)
        torch.testing.assert_close(got.detach().float(), want.detach().float(), rtol=2e-2, atol=2e-2)
        again = f(*first)
        assert what(again) == what(plain) and torch.equal(again.detach(), plain.detach())
    finally:
        if name == "default dtype":
            W = kept


@pytest.mark.parametrize("args", [(X, 2.0), (X,), (X, Y, Y), ([X], Y), (X, X)])
def test_other_arguments_are_not_like_it(args):
    f = compiled()
    for _ in range(2):
        f(X, Y)
    assert f._recent.leaves(args) is None
