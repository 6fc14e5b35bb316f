"""Attributes of modules that compiled functions give tensors with a history, as weights that hooks compute."""

import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

from .twins import Twins


def normed(kind):
    def make():
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            for layer in (model[0], model[2]):
                getattr(nn.utils, kind)(layer)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        def step(x, frozen=False):
            model.requires_grad_(not frozen)
            optimizer.zero_grad()
            loss = model(x).square().mean()
            if not frozen:
                loss.backward()
                optimizer.step()
            return loss

        return step, model, optimizer

    return make


@pytest.mark.parametrize("kind", ["spectral_norm", "weight_norm"])
def test_weights_that_hooks_compute(kind):
    twins = Twins(normed(kind), fullgraph=True)
    for n in range(6):
        twins.run(torch.arange(6.0).reshape(2, 3) - n, frozen=n % 3 == 2)
        for model, _ in (twins.eager_objects, twins.compiled_objects):
            assert model[0].weight.requires_grad is (n % 3 != 2)
        np.testing.assert_allclose(
            twins.compiled_objects[0][0].weight.detach(), twins.eager_objects[0][0].weight.detach(), 1e-4, 1e-6
        )
    assert torch.compile.explain(twins.compiled).compiles <= 3


class Remembering(nn.Module):
    def __init__(self, looks=False):
        super().__init__()
        self.linear, self.last, self.looks = nn.Linear(2, 2), torch.zeros(1, 2), looks

    def forward(self, x):
        if self.looks:
            x = x + self.last
        self.last = self.linear(x)
        return self.last * 2


def test_an_attribute_is_a_result():
    torch.manual_seed(0)
    model = Remembering()
    compiled, x = torch.compile(model, fullgraph=True), torch.ones(1, 2)
    for n in range(3):
        out = compiled(x + n)
        (out.sum() + model.last.square().sum()).backward()
        ours, model.linear.weight.grad = model.linear.weight.grad, None
        out = model(x + n)
        (out.sum() + model.last.square().sum()).backward()
        np.testing.assert_allclose(ours, model.linear.weight.grad, rtol=1e-5)
        model.linear.weight.grad = None
    assert torch.compile.explain(compiled).compiles == 1


def test_an_attribute_without_a_history_is_there_too():
    model = Remembering()
    compiled = torch.compile(model, fullgraph=True)
    for n in range(4):
        with torch.set_grad_enabled(n % 2 == 0):
            out = compiled(torch.ones(1, 2) * n)
        assert model.last.requires_grad is (n % 2 == 0) and model.last.tolist() == (out / 2).tolist()
    assert torch.compile.explain(compiled).compiles == 2


def test_one_that_is_read_before_runs_eagerly():
    model = Remembering(looks=True)
    compiled = torch.compile(model)
    with pytest.warns(UserWarning, match="runs eagerly.*tensor with a history"):
        out = compiled(torch.ones(1, 2))
    assert out.requires_grad
