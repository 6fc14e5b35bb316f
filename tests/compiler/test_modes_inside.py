"""Functions that put modules into training or evaluation mode, or set other plain attributes, and are compiled."""

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

from .twins import Twins


def epochs():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def train(x):
        model.train()
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    @torch.no_grad()
    def test(x):
        model.eval()
        return model(x)

    return train, test, model, optimizer


def test_training_and_testing_in_turn():
    torch.manual_seed(0)
    train, test, model, _ = epochs()
    torch.manual_seed(0)
    *plain, twin, _ = epochs()
    train, test = (torch.compile(f, fullgraph=True) for f in (train, test))
    for n in range(4):
        x = torch.arange(12.0).reshape(4, 3) / (n + 5)
        for f, g in ((train, plain[0]), (train, plain[0]), (test, plain[1]), (test, plain[1])):
            np.testing.assert_allclose(f(x).detach(), g(x).detach(), rtol=1e-5, atol=1e-6)
            assert [m.training for m in model.modules()] == [m.training for m in twin.modules()]
    assert all(torch.compile.explain(f).compiles == 1 for f in (train, test))


class Switch(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.ready, self.name = nn.Parameter(torch.tensor([2.0, 3.0])), False, "none"

    def forward(self, x):
        if not self.ready:
            with torch.no_grad():
                self.weight.copy_(x.mean(0))
            self.ready = True
        self.name = "last"
        return x * self.weight if self.name == "last" else x


def test_what_is_done_at_the_first_call():
    twins = Twins(lambda: (lambda m: (lambda x: (m(x), m.ready, m.name), m))(Switch()), fullgraph=True)
    for n in range(4):
        twins.run(torch.arange(4.0).reshape(2, 2) + n)
        for model in (twins.eager_objects[0], twins.compiled_objects[0]):
            assert model.ready and model.name == "last"
            model.name = ("last", "other")[n % 2]
    assert torch.compile.explain(twins.compiled).compiles == 2
    for model in (twins.eager_objects[0], twins.compiled_objects[0]):
        model.ready = False
    twins.run(torch.ones(2, 2) * 7)
    assert torch.compile.explain(twins.compiled).compiles == 2


@pytest.mark.parametrize("fail", [False, True])
def test_the_mode_inside_of_a_block(fail):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))

    @torch.compile(fullgraph=not fail)
    def step(x):
        was = model.training
        model.eval()
        out = model(x)
        model.train(was)
        return out.tolist() and out if fail else out

    for mode in (True, False, True, False):
        model.train(mode)
        if fail:
            with pytest.warns(UserWarning, match="runs eagerly") if mode and not step.entries else _nothing():
                out = step(torch.ones(1, 2))
        else:
            out = step(torch.ones(1, 2))
        np.testing.assert_allclose(out.detach(), model[0](torch.ones(1, 2)).detach(), rtol=1e-6)
        assert [m.training for m in model.modules()] == [mode] * 3
    assert torch.compile.explain(step).compiles == (0 if fail else 2)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


def test_cached_parametrizations_around_and_inside():
    class Double(nn.Module):
        def forward(self, w):
            return w * 2

    layer = nn.Linear(2, 2, bias=False)
    nn.utils.parametrize.register_parametrization(layer, "weight", Double())
    compiled, x = torch.compile(layer, fullgraph=True), torch.eye(2)

    @torch.compile(fullgraph=True)
    def inside(x):
        with nn.utils.parametrize.cached():
            return layer(layer(x))

    for n in range(2):
        with nn.utils.parametrize.cached(), torch.no_grad():
            np.testing.assert_allclose(compiled(x), layer.weight.T, rtol=1e-6)
            np.testing.assert_allclose(compiled(x), layer(x), rtol=1e-6)
        np.testing.assert_allclose(inside(x).detach(), layer(layer(x)).detach(), rtol=1e-6)
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(n + 2)


def test_aliases_of_types():
    kinds = list[int], dict[str, float]
    step = torch.compile(lambda x: x * len(kinds), fullgraph=True)
    assert step(torch.ones(1)).item() == 2
