"""Tensors whose data is replaced (``p.data = ...``) inside of a compiled function and between its calls."""

import copy

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

from .twins import Twins


def momentum(replace=True, prepared=False):
    def make():
        slow, fast = nn.Linear(32 if prepared else 3, 3), nn.Linear(32 if prepared else 3, 3)
        slow.requires_grad_(False)
        optimizer = torch.optim.SGD(fast.parameters(), 0.1, momentum=0.9)

        def step(x):
            if replace:
                with torch.no_grad():
                    for s, f in zip(slow.parameters(), fast.parameters()):
                        s.data = s.data * 0.9 + f.data * 0.1
            loss = (fast(x) - slow(x) * 2 + 1).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step, slow, fast, optimizer

    return make


def test_a_momentum_encoder_inside():
    twins = Twins(momentum(), fullgraph=True)
    for n in range(5):
        twins.run(torch.arange(6.0).reshape(2, 3) + n)
    assert torch.compile.explain(twins.compiled).compiles == 1


@pytest.mark.parametrize("prepared", [False, True])
def test_data_replaced_between_calls(prepared):
    twins = Twins(momentum(replace=False, prepared=prepared), fullgraph=True)
    for n in range(5):
        twins.run(torch.arange(64.0 if prepared else 6.0).reshape(2, -1) / 9 + n)
        for slow, fast, _ in (twins.eager_objects, twins.compiled_objects):
            for s, f in zip([*slow.parameters(), *fast.parameters()], [*fast.parameters(), *slow.parameters()]):
                s.data = s.data * 0.9 + f.data * 0.1
    assert torch.compile.explain(twins.compiled).compiles == 1


def test_the_average_takes_the_place_of_the_weights_and_leaves_it():
    model = nn.Linear(3, 2)
    compiled = torch.compile(model, fullgraph=True)
    x = torch.ones(2, 3)
    for n in range(4):
        shadow = {name: p.data * n for name, p in model.named_parameters()}
        backup = {}
        for name, p in model.named_parameters():
            backup[name], p.data = p.data, shadow[name]
        np.testing.assert_allclose(compiled(x).detach(), model(x).detach(), rtol=1e-6)
        for name, p in model.named_parameters():
            p.data = backup[name]
        np.testing.assert_allclose(compiled(x).detach(), model(x).detach(), rtol=1e-6)
    assert torch.compile.explain(compiled).compiles == 1


def test_old_data_stays_as_it_was():
    p = nn.Parameter(torch.ones(2))

    @torch.compile(fullgraph=True)
    def step():
        p.data = p.data + 1

    before = p.data
    for _ in range(3):
        step()
    assert before.tolist() == [1, 1] and p.tolist() == [4, 4]
    again = p.data
    with torch.no_grad():
        p.mul_(2)
    assert again.tolist() == [8, 8]
    step()
    assert again.tolist() == [8, 8] and p.tolist() == [9, 9]


def test_shared_data_between_calls():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

    @torch.compile(fullgraph=True)
    def step():
        with torch.no_grad():
            a.add_(1)
            return a * b

    plain = step.function
    assert step().tolist() == [0, 0]
    b.data = a.data
    assert step().tolist() == [9, 9]
    assert plain().tolist() == [16, 16]
    b.data = a.data.clone()
    assert step().tolist() == [20, 20]
    a.data, b.data = b.data, a.data
    assert step().tolist() == [25, 25] and a.tolist() == [5, 5]
    a.data = torch.zeros(3)
    b.data = torch.ones(3)
    assert step().tolist() == [1, 1, 1]
    for _ in range(3):
        a.data, b.data = torch.ones(3), torch.ones(3) * 4
        assert step().tolist() == [8, 8, 8]


def test_requires_grad_of_what_is_replaced_is_watched():
    p = nn.Parameter(torch.ones(2))

    @torch.compile(fullgraph=True)
    def step():
        loss = (p * 3).sum()
        with torch.no_grad():
            p.data = p.data + 1
        return loss

    assert step().requires_grad
    p.requires_grad_(False)
    assert not step().requires_grad


@pytest.mark.parametrize(
    "change",
    [
        lambda p, q, x: setattr(p, "data", q.data), lambda p, q, x: setattr(x, "data", x.data + 1),
        lambda p, q, x: setattr(p, "data", torch.ones(5)), lambda p, q, x: setattr(p, "data", x.data),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_runs_eagerly(change):
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    kept = copy.deepcopy((p, q))

    def step(p, q, x):
        change(p, q, x)
        return p.sum() + q.sum() + x.sum()

    with pytest.warns(UserWarning, match=r"runs eagerly, not compiled: '.data'"):
        compiled = torch.compile(lambda x: step(p, q, x))
        for _ in range(2):
            assert compiled(torch.ones(2)).item() == step(*kept, torch.ones(2)).item()
    assert (p.data._storage is q.data._storage) == (kept[0].data._storage is kept[1].data._storage)


def test_new_data_may_be_shared():
    def make():
        p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

        def step(x):
            with torch.no_grad():
                p.add_(x)
            out = p + q
            p.data = q.data = x * 3
            return out

        return step, p, q

    twins = Twins(make, fullgraph=True)
    for n in range(4):
        twins.run(torch.ones(2) * n)
    _, p, q = twins.compiled, *twins.compiled_objects
    assert p.data._storage is q.data._storage and torch.compile.explain(twins.compiled).compiles == 2
