"""Copies of compiled functions, and arguments that share memory or have hooks."""

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import nn


def twice(x):
    return x * 2


class Method:
    def __init__(self):
        self.weight = torch.ones(2)

    @torch.compile
    def run(self, x):
        return x * self.weight


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.function = torch.compile(twice, name="two")
        self.method = torch.compile(self.inner)

    def inner(self, x):
        return self.linear(x)

    def forward(self, x):
        return self.function(self.method(x))


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda o: pickle.loads(pickle.dumps(o))}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_module_that_holds_compiled_functions(way):
    model, x = Parts(), torch.ones(1, 2)
    before = model(x)
    other = COPIES[way](model)
    assert torch.equal(other(x), before) and other.function.name == "two"
    with torch.no_grad():
        other.linear.weight.add_(1)
    assert torch.equal(model(x), before) and torch.allclose(other(x), before + 4)


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_compiled_method(way):
    held = Method()
    run = held.run
    run(torch.ones(2))
    other = COPIES[way](run)
    held.weight.mul_(3)
    assert run(torch.ones(2)).tolist() == [3.0, 3.0] and other(torch.ones(2)).tolist() == [1.0, 1.0]


def test_a_method_of_an_object_that_nobody_else_holds():
    assert Method().run(torch.ones(2)).tolist() == [1.0, 1.0]
    run = Method().run
    assert [run(torch.ones(2)).tolist() for _ in range(2)] == [[1.0, 1.0]] * 2
    assert torch.compile(run) is run and torch.compile.explain(run).compiles == 1


def test_arguments_that_share_memory():
    def step(a, b):
        a.add_(1)
        return b * 2

    compiled = torch.compile(step)
    for a, b in ((torch.zeros(2), torch.ones(2)), (torch.ones(2), torch.zeros(2))):
        assert torch.equal(compiled(a.clone(), b.clone()), step(a, b))
    for _ in range(2):
        whole = torch.zeros(3, 2)
        with pytest.warns(UserWarning, match="share memory") if _ == 0 else _nothing():
            assert compiled(whole[:2], whole[1:]).tolist() == [[2.0, 2.0], [0.0, 0.0]]
        assert whole.tolist() == [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    read = torch.compile(lambda a, b: a * 2 + b, fullgraph=True)
    assert read(whole[0], whole[1]).tolist() == [3.0, 3.0]


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *error):
        return None


def test_hooks_of_arguments():
    def step(x):
        (x * 2).sum().backward()

    compiled = torch.compile(step, fullgraph=True)
    for k in (None, 3.0, 4.0, None):
        x = torch.ones(2, requires_grad=True)
        if k is not None:
            x.register_hook(lambda g, k=k: g * k)
        compiled(x)
        assert x.grad.tolist() == [2.0 * (k or 1)] * 2
