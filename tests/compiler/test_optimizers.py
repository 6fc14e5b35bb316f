"""Optimizers and schedules around a compiled step: what is read, replaced, added, loaded or hooked is never stale."""

import copy

import pytest
from compiler.twins import Twins, close, state

import rushlight as torch
from rushlight import nn

X = torch.arange(15.0).reshape(5, 3) / 7 - 1


def program(make_optimizer, schedule=None, extra=None):
    """A function that makes a step with its model and optimizer."""

    def make():
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        optimizer = make_optimizer(model)
        plan = schedule(optimizer) if schedule is not None else None

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            if plan is not None:
                plan.step()
            return loss if extra is None else (loss, extra(optimizer, plan))

        return step, model, optimizer

    return make


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.1)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


class Signs(torch.optim.Optimizer):
    """A rule of a user's own."""

    def __init__(self, params, lr=0.01, count=False):
        super().__init__(params, {"lr": lr, "decay": 0.9, "count": count})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state[p]
                if not held:
                    held["mean"] = torch.zeros_like(p)
                    if group["count"]:
                        held["step"] = 0
                if group["count"]:
                    held["step"] += 1
                held["mean"].mul_(group["decay"]).add_(p.grad, alpha=1 - group["decay"])
                p.add_(held["mean"].sign(), alpha=-group["lr"])


def test_parameters_added_later():
    twins = Twins(program(lambda model: torch.optim.Adam(model[0].parameters(), lr=0.1)))
    twins.run(X, times=2)
    twins.both(lambda model, optimizer: optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.5}))
    twins.run(X, times=2)


def test_a_state_that_is_loaded_or_cleared():
    twins = Twins(program(adam))
    twins.run(X, times=2)
    kept = [copy.deepcopy(o.state_dict()) for o in (twins.eager_objects[1], twins.compiled_objects[1])]
    twins.run(X, times=2)
    twins.eager_objects[1].load_state_dict(kept[0])
    twins.compiled_objects[1].load_state_dict(kept[1])
    twins.run(X, times=2)
    twins.both(lambda model, optimizer: optimizer.state.clear())
    twins.run(X, times=2)
    twins.both(lambda model, optimizer: optimizer.state[model[0].weight].update(exp_avg=torch.ones(4, 3)))
    twins.run(X, times=2)


def test_hooks_of_steps():
    twins = Twins(program(sgd))
    twins.run(X)
    handles = []

    def add(model, optimizer):
        def halve(*_):
            with torch.no_grad():
                model[0].weight.grad.mul_(0.5)

        handles.append(optimizer.register_step_pre_hook(halve))

    twins.both(add)
    twins.run(X, times=2)
    for handle in handles:
        handle.remove()
    twins.run(X, times=2)


@pytest.mark.parametrize("make_optimizer", [adam, lambda model: Signs(model.parameters())])
def test_the_rate_that_a_function_reads(make_optimizer):
    twins = Twins(program(make_optimizer, extra=lambda optimizer, plan: optimizer.param_groups[0]["lr"]))
    for i in range(5):
        twins.run(X)
        twins.both(lambda model, optimizer, i=i: optimizer.param_groups[0].update(lr=0.05 / (i + 1)))
    assert twins.compiles <= 3


def test_a_rate_as_a_factor():
    def make():
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        return (lambda x: model(x).sum() * optimizer.param_groups[0]["lr"]), model, optimizer

    twins = Twins(make)
    for rate in (0.5, 0.25, 0.1):
        twins.both(lambda model, optimizer, rate=rate: optimizer.param_groups[0].update(lr=rate))
        twins.run(X)


@pytest.mark.parametrize(
    ("extra", "schedule", "says"),
    [
        (lambda optimizer, plan: optimizer.param_groups[0].update(momentum=0.5), None, "group is written"),
        (lambda optimizer, plan: plan.get_last_lr()[0], True, "last learning rate"),
        (lambda optimizer, plan: optimizer.param_groups[0]["lr"], True, "after a schedule"),
    ],
)
def test_what_a_program_cannot_say_of_rates_runs_eagerly(extra, schedule, says):
    plan = (lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)) if schedule else None
    twins = Twins(program(sgd, plan, extra))
    with pytest.warns(UserWarning, match=says):
        twins.run(X)
    twins.run(X, times=2)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o, [torch.optim.lr_scheduler.LinearLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.5)], [2]
        ),
        lambda o: torch.optim.lr_scheduler.ChainedScheduler(
            [torch.optim.lr_scheduler.LinearLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.5)]
        ),
    ],
)
def test_schedules_with_a_step_of_their_own(schedule):
    twins = Twins(program(sgd, schedule))
    twins.run(X, times=6)
    assert twins.compiles == 1


def test_an_optimizer_with_a_rule_of_the_users():
    twins = Twins(program(lambda model: Signs(model.parameters())))
    twins.run(X, times=4)
    assert twins.compiles == 1


def test_a_count_in_python():
    twins = Twins(program(lambda model: Signs(model.parameters(), count=True)), fullgraph=True)
    twins.run(X, times=5)
    assert twins.compiles <= 2


def test_a_failed_trace_leaves_groups_and_state():
    make = program(adam, extra=lambda optimizer, plan: optimizer.param_groups[0].update(lr=9.0) or 1 / 0)
    step, model, optimizer = make()
    before = copy.deepcopy(state(model)), copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ZeroDivisionError):
        torch.compile(step)(X)
    close(before, (state(model), optimizer.state_dict()))
    assert type(optimizer.param_groups[0]) is dict
