"""Owns the proof that ``optim.Optax`` steps as plain optax does, alone and inside a compiled step.

May import rushlight, optax, jax and numpy; needs no PyTorch.
"""

from __future__ import annotations

import copy
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

optax = pytest.importorskip("optax")
STEPS = 6
TABLE = {
    "adam": lambda: optax.adam(1e-2),
    "adamw": lambda: optax.adamw(1e-2, weight_decay=0.1),
    "sgd": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "lion": lambda: optax.lion(1e-2),
    "adafactor": lambda: optax.adafactor(1e-2, min_dim_size_to_factor=2),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(1e-2)),
    "schedule": lambda: optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-1, 2, 6)),
    "multi_steps": lambda: optax.MultiSteps(optax.adam(1e-2), every_k_schedule=2),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=1e-2),
    "injected_schedule": lambda: optax.inject_hyperparams(optax.adam)(optax.linear_schedule(0.1, 0.0, 5), b1=0.8),
    "masked": lambda: optax.adamw(1e-2, mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)),
    "labels": lambda: optax.multi_transform(
        {"weight": optax.adam(1e-2), "bias": optax.set_to_zero()}, lambda params: {k: k.split(".")[1] for k in params}
    ),
    "noise": lambda: optax.chain(optax.add_noise(0.1, 0.5, 0), optax.sgd(1e-2)),
    "plateau": lambda: optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=1, rtol=0.9)),
    "zero_nans": lambda: optax.apply_if_finite(optax.chain(optax.zero_nans(), optax.novograd(1e-2)), 3),
}  # fmt: skip


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    return model, torch.randn(8, 5), torch.randn(8, 3)


@functools.cache
def plain(name, steps=STEPS):
    """The losses and last parameters of optax on its own, and its last state."""
    transformation = TABLE[name]()
    model, x, y = make()
    params = {name: jnp.asarray(p.detach().numpy()) for name, p in model.named_parameters()}
    x, y = jnp.asarray(x.numpy()), jnp.asarray(y.numpy())

    def loss_of(params):
        hidden = jnp.tanh(x @ params["0.weight"].T + params["0.bias"])
        return jnp.mean((hidden @ params["2.weight"].T + params["2.bias"] - y) ** 2)

    if hasattr(transformation, "gradient_transformation"):
        transformation = transformation.gradient_transformation()
    transformation = optax.with_extra_args_support(transformation)
    state = transformation.init(params)

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, state = transformation.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss

    losses = []
    for _ in range(steps):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    return losses, params, state


def train(model, optimizer, x, y, steps=STEPS, compiled=False):
    def step():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step(value=loss.detach())
        return loss.detach()

    step = torch.compile(step, fullgraph=True) if compiled else step
    return [step().item() for _ in range(steps)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", TABLE)
def test_equals_optax(name, compiled):
    losses, params, state = plain(name)
    model, x, y = make()
    optimizer = torch.optim.Optax(model.named_parameters(), TABLE[name]())
    np.testing.assert_allclose(train(model, optimizer, x, y, compiled=compiled), losses, rtol=2e-5)
    for key, p in model.named_parameters():
        np.testing.assert_allclose(p.detach().numpy(), params[key], rtol=1e-4, atol=2e-6)
    ours = optimizer.optax_state()
    assert jax.tree.structure(ours) == jax.tree.structure(state)


def test_one_program():
    model, x, y = make()
    optimizer = torch.optim.Optax(model.parameters(), optax.adamw, lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    @torch.compile(fullgraph=True)
    def step():
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        schedule.step()

    for _ in range(4):
        step()
    assert optimizer.param_groups[0]["lr"] == 1e-2 / 16
    assert len(step.entries) == 1 and len(next(iter(step.entries.values()))) == 1


def test_numbers_are_options_of_the_group():
    """Each step reads the group; a group may differ from the others."""
    model, x, y = make()
    first, second = list(model[0].parameters()), list(model[2].parameters())
    groups = [{"params": first}, {"params": second, "learning_rate": 0.0, "momentum": 0.5}]
    optimizer = torch.optim.Optax(groups, optax.sgd, lr=0.5, nesterov=False)
    assert optimizer.param_groups[0]["lr"] == 0.5 and "nesterov" not in optimizer.param_groups[0]
    assert optimizer.param_groups[1]["momentum"] == 0.5 and "momentum" not in optimizer.param_groups[0]
    before = [p.detach().clone() for p in (first[0], second[0])]
    train(model, optimizer, x, y, 1)
    assert torch.equal(before[1], second[0]) and not torch.equal(before[0], first[0])
    torch.testing.assert_close(before[0] - 0.5 * first[0].grad, first[0].detach())
    optimizer.param_groups[1]["lr"] = torch.tensor(0.25)
    now = second[0].detach().clone()
    optimizer.param_groups[1]["momentum"] = 0.0
    second[0].grad = torch.ones_like(now)
    optimizer.step()
    torch.testing.assert_close(now - 0.25, second[0].detach())


def test_injected_numbers_are_found():
    model, _, _ = make()
    made = optax.chain(
        optax.clip(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=1e-3, b1=optax.linear_schedule(0, 1, 9))
    )
    group = torch.optim.Optax(model.parameters(), made).param_groups[0]
    assert group["lr"] == 1e-3 and group["b2"] == 0.999 and "b1" not in group


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["adamw", "multi_steps", "injected", "noise", "adafactor"])
def test_resume(name, compiled):
    """A run that is saved, loaded into a new model and optimizer, and continued equals one that was not stopped."""
    losses, params, _ = plain(name)
    model, x, y = make()
    optimizer = torch.optim.Optax(model.named_parameters(), TABLE[name]())
    begun = train(model, optimizer, x, y, 3, compiled)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file)
    model, x, y = make()
    model.load_state_dict(saved["model"])
    optimizer = torch.optim.Optax(model.named_parameters(), TABLE[name]())
    optimizer.load_state_dict(saved["optimizer"])
    np.testing.assert_allclose(begun + train(model, optimizer, x, y, 3, compiled), losses, rtol=2e-5)
    for key, p in model.named_parameters():
        np.testing.assert_allclose(p.detach().numpy(), params[key], rtol=1e-4, atol=2e-6)


def test_loading_into_a_used_optimizer():
    """Loading replaces the state, also of a program that is compiled already."""
    model, x, y = make()
    optimizer = torch.optim.Optax(model.parameters(), optax.adam, lr=1e-2)
    start, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    first = train(model, optimizer, x, y, 3)
    kept, middle = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    rest = train(model, optimizer, x, y, 3)
    model.load_state_dict(middle)
    optimizer.load_state_dict(kept)
    assert train(model, optimizer, x, y, 3) == rest
    model.load_state_dict(weights)
    optimizer.load_state_dict(start)
    assert train(model, optimizer, x, y, 3) == first


def test_copies_with_the_model():
    model, x, y = make()
    optimizer = torch.optim.Optax(model.parameters(), optax.adam, lr=1e-2)
    train(model, optimizer, x, y, 2)
    both = copy.deepcopy((model, optimizer))
    assert train(*both, x, y, 2) == train(model, optimizer, x, y, 2)


def test_without_a_gradient():
    """A parameter without a gradient keeps its value and its state; one that gets its first later joins."""
    model, x, y = make()
    weight, bias = model[0].weight, model[0].bias
    bias.requires_grad_(False)
    optimizer = torch.optim.Optax(model.named_parameters(), optax.adamw(1e-2))
    train(model, optimizer, x, y, 2)
    assert "0/mu/0.weight" in optimizer.state["optax/0"] and "0/mu/0.bias" not in optimizer.state["optax/0"]
    held, mean = weight.detach().clone(), optimizer.state["optax/0"]["0/mu/0.weight"].clone()
    weight.grad = None
    optimizer.step()
    assert torch.equal(held, weight) and torch.equal(mean, optimizer.state["optax/0"]["0/mu/0.weight"])
    bias.requires_grad_(True)
    old = bias.detach().clone()
    train(model, optimizer, x, y, 1)
    assert not torch.equal(old, bias) and "0/mu/0.bias" in optimizer.state["optax/0"]
    assert not torch.equal(mean, optimizer.state["optax/0"]["0/mu/0.weight"])
    assert optimizer.state["optax/0"]["0/count"].item() == 4


def test_closure_is_the_value():
    """A line search that is a function of the parameters alone."""
    w = torch.tensor([3.0, -2.0], requires_grad=True)
    optimizer = torch.optim.Optax([("w", w)], optax.lbfgs())

    def closure():
        optimizer.zero_grad()
        loss = ((w - 1) ** 2).sum()
        loss.backward()
        return loss

    value_fn = lambda params, **_: jnp.sum((params["w"] - 1) ** 2)  # noqa: E731
    for _ in range(4):
        loss = optimizer.step(closure, value_fn=value_fn)
    assert loss.item() < 1e-6
    np.testing.assert_allclose(w.detach().numpy(), [1.0, 1.0], atol=1e-4)


def test_mistakes():
    model, _, _ = make()
    with pytest.raises(TypeError, match="expected no options beside a finished transformation, received lr"):
        torch.optim.Optax(model.parameters(), optax.adam(1e-3), lr=1e-3)
    with pytest.raises(
        TypeError, match="expected a gradient transformation of optax or a factory of one, received str"
    ):
        torch.optim.Optax(model.parameters(), "adam")
    optimizer = torch.optim.Optax(model.parameters(), optax.adam(1e-3))
    with pytest.raises(RuntimeError, match="no step has been made"):
        optimizer.optax_state()
    with pytest.raises(KeyError, match=r"has no 'lr'.*optax\.adamw, lr=1e-3"):
        torch.optim.lr_scheduler.StepLR(optimizer, 1)
    other = torch.optim.Optax(model.parameters(), optax.sgd(1e-3, momentum=0.9))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    other.step()
    optimizer.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="the state of another transformation"):
        optimizer.step()
    named = torch.optim.Optax(model.parameters(), optax.adam, lr=1e-3)
    with pytest.raises(ValueError, match="lacks lr of group 0"):
        named.load_state_dict(other.state_dict())
