"""Parameter groups in and around compiled functions: however an option is read or written, nothing goes stale."""

import contextlib
import copy

import pytest

import rushlight as torch
from rushlight import nn


def stepping(make=torch.optim.SGD, **options):
    params = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = make(params[:1], lr=0.5, **options)

    def step(x):
        for p in params:  # zero_grad would look at the groups
            p.grad = None
        sum((p * x).sum() for p in params).backward()
        optimizer.step()

    return torch.compile(step, fullgraph=True), optimizer, params


READERS = {
    "item": lambda g: g["lr"],
    "get": lambda g: g.get("lr"),
    "items": lambda g: next(v for k, v in g.items() if k == "lr"),
    "values": lambda g: list(g.values())[list(g).index("lr")],
    "dict": lambda g: dict(g)["lr"],
    "unpacked": lambda g: {**g}["lr"],
    "copy": lambda g: g.copy()["lr"],
    "copied": lambda g: copy.copy(g)["lr"],
    "joined": lambda g: (g | {})["lr"],
    "joined to": lambda g: ({} | g)["lr"],
    "updated": lambda g: update(g)["lr"],
    "setdefault": lambda g: g.setdefault("lr", 7.0),
}


def update(group):
    held = {}
    held.update(group)
    return held


@pytest.mark.parametrize("how", READERS)
def test_an_option_is_read_anew(how):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.5)
    compiled = torch.compile(lambda x: x * READERS[how](optimizer.param_groups[0]))
    for rate in (0.5, 0.25, 3):
        optimizer.param_groups[0]["lr"] = rate
        assert compiled(torch.ones(1)).item() == rate
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "lr": 0.125}
    assert compiled(torch.ones(1)).item() == 0.125


WRITERS = {
    "params": lambda o, p: o.add_param_group({"params": [p[1]]}),
    "params ": lambda o, p: o.param_groups.__setitem__(0, dict(o.param_groups[0])),
    "new": lambda o, p: o.param_groups[0].update(new=1),
    "momentum": lambda o, p: o.param_groups[0].pop("momentum"),
    "lr": lambda o, p: o.param_groups[0].update(lr=0.25),
}


@pytest.mark.parametrize("name", WRITERS)
def test_groups_that_are_written_are_written(name):
    _, optimizer, params = stepping()
    before = optimizer.param_groups[0]

    def change(x):
        WRITERS[name](optimizer, params)
        return x * 2

    compiled = torch.compile(change)
    says = pytest.warns(UserWarning, match=f"'{name.strip()}' of an optimizer's group is written")
    with says if name != "lr" else contextlib.nullcontext():
        assert compiled(torch.ones(1)).item() == 2
    after = optimizer.param_groups
    assert [type(g) for g in after] == [dict] * (2 if name == "params" else 1)
    assert (after[0] is before) == (name != "params ") and after[0].get("new") == (1 if name == "new" else None)
    assert ("momentum" in after[0]) == (name != "momentum") and after[0]["lr"] == (0.25 if name == "lr" else 0.5)


def test_another_parameter_in_the_place_of_one():
    step, optimizer, (first, second) = stepping()
    step(torch.ones(2))
    optimizer.param_groups[0]["params"][0] = second
    step(torch.ones(2))
    assert first.tolist() == [0.5, 0.5] and second.tolist() == [0.5, 0.5]


def test_another_group_in_the_place_of_one():
    step, optimizer, (first, second) = stepping(momentum=0.5)
    step(torch.ones(2))
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "params": [second], "lr": 0.25, "momentum": 0}
    step(torch.ones(2))
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "lr": 0.5, "maximize": True}
    step(torch.ones(2))
    assert first.tolist() == [0.5, 0.5] and second.tolist() == [1.25, 1.25]


def test_hooks_of_all_optimizers():
    step, _, (first, _) = stepping()
    step(torch.ones(2))
    register = torch.optim.optimizer.register_optimizer_step_pre_hook

    def halve(*_):
        first.grad.mul_(0.5)

    handle = register(halve)
    try:
        step(torch.ones(2))
        assert first.tolist() == [0.25, 0.25]
    finally:
        handle.remove()
    step(torch.ones(2))
    assert first.tolist() == [-0.25, -0.25]
