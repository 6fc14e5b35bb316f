"""Numbers that become inputs of a program: on either side of an operator, in place, and as numpy gives them."""

import operator

import numpy as np
import pytest

import rushlight as torch

FLOATS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne"]
INTEGERS = ["and_", "or_", "xor", "lshift", "rshift"]


def same(a, b):
    assert type(a) is type(b) and a.dtype == b.dtype
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", [*FLOATS, *INTEGERS])
def test_to_the_left_of_an_operator(name):
    function = getattr(operator, name)
    values, x = (1, 2, 3) if name in INTEGERS else (0.5, 1.5, 2.5), torch.tensor([1.5, 2.0])
    x = x.long() if name in INTEGERS else x

    def step(x, s):
        return function(s, x), function(s + s, x)

    compiled = torch.compile(step, fullgraph=True)
    for s in values:
        for a, b in zip(compiled(x, s), step(x, s)):
            same(a, b)
    assert torch.compile.explain(compiled).compiles == 2


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ipow"])
def test_in_place(name):
    function, x = getattr(operator, name), torch.ones(2)

    @torch.compile(fullgraph=True)
    def step(x, s):
        function(x, s)

    wanted = torch.ones(2)
    for s in (0.5, 1.5, 2.5, 3.5):
        step(x, s)
        wanted = function(wanted, s)
        same(x, wanted)
    assert torch.compile.explain(step).compiles == 2


def test_a_weighted_loss():
    w = torch.ones(2, requires_grad=True)

    @torch.compile(fullgraph=True)
    def step(x, lam):
        loss = lam * (w * x).sum() + (1 - lam) * (w * x * x).sum()
        loss.backward()
        return loss

    for lam in (0.25, 0.5, 0.75):
        w.grad = None
        assert step(torch.tensor([1.0, 2.0]), lam).item() == lam * 3 + (1 - lam) * 5
        same(w.grad, torch.tensor([1.0, 2 * lam + 4 * (1 - lam)]))
    assert torch.compile.explain(step).compiles == 2


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32, np.float16])
def test_numbers_of_numpy_are_numbers(kind):
    held = {"lam": kind(1), "options": [kind(2)]}

    def step(x, lam, more):
        return lam * x + (1 - lam) * x * more["more"] - x**lam + held["lam"] * held["options"][0]

    compiled = torch.compile(step, fullgraph=True)
    for value in (1, 2, 3, 4):
        args = torch.tensor([1.5, 2.0]), kind(value), {"more": kind(value + 1)}
        same(compiled(*args), step(*args))
    assert torch.compile.explain(compiled).compiles <= 3
    for value in (4, 5, 6, 7):
        held["lam"] = kind(value)
        args = torch.tensor([1.5, 2.0]), kind(value), {"more": kind(value)}
        same(compiled(*args), step(*args))


def test_what_numpy_computes_of_a_number_is_a_constant():
    def step(x, lam):
        return x * np.sqrt(lam) if lam > 2 else x

    compiled = torch.compile(step, fullgraph=True)
    for value in (1.0, 2.0, 3.0, 4.0, 3.0):
        args = torch.tensor([1.5, 2.0]), np.float64(value)
        same(compiled(*args), step(*args))
    assert compiled(torch.ones(1), np.True_).item() == 1


def test_truths_of_numpy_are_compared_by_value():
    compiled = torch.compile(lambda x, flag: x * 2 if flag else x, fullgraph=True)
    for flag in np.array([True, False, True, False]):
        assert compiled(torch.ones(1), flag).item() == (2 if flag else 1)
    assert torch.compile.explain(compiled).compiles == 2


def test_a_number_that_python_looks_at_on_every_call_ends_in_an_eager_run():
    def step(x, i):
        return x * 2 if int(i + 1) % 4 == 0 else x + i

    compiled = torch.compile(step)
    with pytest.warns(UserWarning) as seen:
        for i in range(40):
            same(compiled(torch.ones(2), i), step(torch.ones(2), i))
    assert [str(w.message).partition(":")[0].partition(" was")[0] for w in seen] == [
        compiled.name, f"{compiled.name} runs eagerly, not compiled",
    ]  # fmt: skip
    assert torch.compile.explain(compiled).compiles < 20


def test_values_that_come_again_keep_their_programs():
    def step(x, i):
        return x * 2 if int(i) % 4 == 0 else x + i

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="was compiled 9 times"):
        for i in range(60):
            same(compiled(torch.ones(2), i // 2), step(torch.ones(2), i // 2))
    assert torch.compile.explain(compiled).eager == 0
