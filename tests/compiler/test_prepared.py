"""What is computed once from unchanging state follows every change of that state."""

import gc
import weakref

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval()


def _infer(model):
    @torch.compile(fullgraph=True)
    def infer(x):
        with torch.no_grad():
            return model(x)

    return infer


def _entry(function):
    ((entry,),) = function.entries.values()
    return entry


CHANGES = {
    "in place": lambda m: m[0].weight.data.mul_(2),
    "data": lambda m: setattr(m[0].weight, "data", m[0].weight.data + 1),
    "parameter": lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.detach() * 3)),
    "buffer": lambda m: m[1].running_var.fill_(4.0),
    "load": lambda m: m.load_state_dict({k: v * 0.5 for k, v in m.state_dict().items()}),
    "bias": lambda m: nn.init.ones_(m[0].bias),
    "train": lambda m: m.train()(torch.ones(2, 3, 8, 8)) is not None and m.eval(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(model, change):
    infer, x = _infer(model), torch.randn(2, 3, 8, 8)
    before = infer(x)
    assert _entry(infer).prepared is not None
    CHANGES[change](model)
    with torch.no_grad():
        want = model(x)
    torch.testing.assert_close(infer(x), want, rtol=1e-5, atol=1e-5)
    assert not np.allclose(before.numpy(), want.numpy())
    torch.testing.assert_close(infer(x), want, rtol=1e-5, atol=1e-5)


def test_it_is_computed_once(model):
    infer, x = _infer(model), torch.randn(2, 3, 8, 8)
    infer(x)
    kept = _entry(infer).prepared
    first = kept.get()
    infer(x)
    assert kept.get() is first
    model[0].weight.data.add_(1)
    assert kept.get() is not first


def test_replaced_state_is_not_held(model):
    infer, x = _infer(model), torch.randn(2, 3, 8, 8)
    infer(x)
    old = weakref.ref(model[0].weight._array())
    model[0].weight.data.zero_()
    gc.collect()
    assert old() is None


def test_training_between_inferences(model):
    infer, x = _infer(model), torch.randn(2, 3, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        model.train()
        step(x)
        model.eval()
        with torch.no_grad():
            torch.testing.assert_close(infer(x), model(x), rtol=1e-5, atol=1e-5)


def test_what_training_changes_is_not_prepared(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    model.train()
    step(torch.randn(2, 3, 8, 8))
    assert _entry(step).prepared is None


def test_frozen_layers_of_a_train_step():
    torch.manual_seed(0)
    frozen, head = nn.Conv2d(3, 8, 3).requires_grad_(False), nn.Linear(288, 4)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = head(frozen(x).relu().flatten(1)).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x, compiled = torch.randn(2, 3, 8, 8), torch.compile(step, fullgraph=True)
    start = {k: v.clone() for k, v in head.state_dict().items()}
    eager = [float(step(x)) for _ in range(3)]
    head.load_state_dict(start)
    got = [float(compiled(x)) for _ in range(2)]
    assert _entry(compiled).prepared is not None
    frozen.weight.data.mul_(1.0)
    got.append(float(compiled(x)))
    np.testing.assert_allclose(got, eager, rtol=1e-5)


def test_a_value_that_grows_is_left_where_it_is():
    table = nn.Parameter(torch.randn(256, 1))

    @torch.compile(fullgraph=True)
    def use(x):
        with torch.no_grad():
            return (table.exp() * torch.ones(1, 4096)).sum() + x

    use(torch.ones(()))
    made = _entry(use).prepared.get()
    assert sum(a.size for a in made) <= 4096
