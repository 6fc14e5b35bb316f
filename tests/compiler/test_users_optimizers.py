"""Optimizers that users write: attributes of their own, optimizers inside of them, state that is replaced."""

import weakref

import pytest

import rushlight as torch
from rushlight import nn

from .twins import Twins


def training(make):
    def made():
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        optimizer = make(model.parameters())

        def step(x):
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            optimizer.step()
            return loss

        return step, model, optimizer

    return made


class Lookahead(torch.optim.Optimizer):
    def __init__(self, base, counts=True, k=2):
        self.base, self.k, self.t, self.counts = base, k, 0, counts
        super().__init__([p for group in base.param_groups for p in group["params"]], {})
        self.slow = [p.detach().clone() for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self):
        self.base.step()
        if self.counts:
            self.t += 1
        if self.t % self.k == 0:
            for s, p in zip(self.slow, self.param_groups[0]["params"]):
                s.add_(p - s, alpha=0.5)
                p.copy_(s)


class Counting(torch.optim.SGD):
    calls = 0

    @torch.no_grad()
    def step(self):
        self.calls += 1
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad, alpha=0.01 * self.calls)


class Averaging(torch.optim.Optimizer):
    """Replaces the tensors of its state and the data of its parameters, as old code does."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["mean"], state["step"] = torch.zeros_like(p.data), torch.zeros(())
                state["step"] += 1
                state["mean"] = state["mean"] * 0.9 + p.grad.data * 0.1
                p.data = p.data - group["lr"] * state["mean"] / (1 - 0.9 ** state["step"])


class Sharp(torch.optim.Optimizer):
    """Sharpness-aware minimization, as its best known implementation has it."""

    def __init__(self, params, **options):
        super().__init__(params, {"rho": 0.05, **options})
        self.base = torch.optim.SGD(self.param_groups, **options)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def away(self):
        norm = torch.stack([p.grad.norm() for p in self.param_groups[0]["params"]]).norm()
        for p in self.param_groups[0]["params"]:
            self.state[p]["old"] = p.data.clone()
            p.add_(p.grad * self.param_groups[0]["rho"] / (norm + 1e-12))
        self.zero_grad()

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            p.data = self.state[p]["old"]
        self.base.step()


def sharp():
    model = nn.Linear(3, 2)
    optimizer = Sharp(model.parameters(), lr=0.1, momentum=0.9)

    def step(x):
        model(x).square().sum().backward()
        optimizer.away()
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, model, optimizer, optimizer.base


def run(twins, times=6):
    for n in range(times):
        twins.run(torch.arange(6.0).reshape(2, 3) / 5 - n)
    return torch.compile.explain(twins.compiled)


@pytest.mark.parametrize("lr", [0.1, 0.01])
def test_an_optimizer_inside(lr):
    twins = Twins(training(lambda p: Lookahead(torch.optim.Adam(p, lr), counts=False)), fullgraph=True)
    assert run(twins).compiles == 1


def test_a_counter():
    twins = run(Twins(training(lambda p: Lookahead(torch.optim.SGD(p, 0.1, momentum=0.9))), fullgraph=True))
    assert twins.compiles == 2


class Paced(torch.optim.Optimizer):
    """Counts in its group, and reads another option of it afterwards."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1, "count": 0, "every": 2})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["count"] += 1
            if group["count"] % group["every"] == 0:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])


def test_options_that_count():
    twins = run(Twins(training(Paced), fullgraph=True))
    assert twins.compiles <= 3


def test_a_counter_that_is_new_runs_eagerly():
    with pytest.warns(UserWarning, match="runs eagerly, not compiled: an optimizer is given"):
        run(Twins(training(lambda p: Counting(p, 1))))


def test_attributes_are_watched():
    twins = Twins(training(lambda p: Lookahead(torch.optim.SGD(p, 0.1), counts=False)), fullgraph=True)
    for k in (2, 3):
        twins.eager_objects[1].k = twins.compiled_objects[1].k = k
        for t in range(4):
            twins.eager_objects[1].t = twins.compiled_objects[1].t = t
            run(twins, 1)


def test_replaced_state():
    assert run(Twins(training(Averaging), fullgraph=True)).compiles == 1


def test_data_that_shares_the_memory_of_the_state():
    twins = Twins(sharp, fullgraph=True)
    assert run(twins).compiles == 1
    optimizer = twins.compiled_objects[1]
    p = optimizer.param_groups[0]["params"][0]
    assert p.data._storage is optimizer.state[p]["old"]._storage


def test_modules_made_inside():
    model = nn.Linear(2, 2)

    @torch.compile(fullgraph=True)
    def step(x):
        return nn.CrossEntropyLoss()(nn.Sequential(model, nn.Tanh())(x), torch.tensor([0, 1]))

    for _ in range(2):
        assert abs(step(torch.eye(2)).item() - step.function(torch.eye(2)).item()) < 1e-6
    assert torch.compile.explain(step).compiles == 1


def test_what_is_written_out_of_sight():
    hidden = torch.zeros(2)
    reference = weakref.ref(hidden)

    @torch.compile(fullgraph=True)
    def step(x):
        reference().copy_(x * 2)

    for n in range(3):
        step(torch.ones(2) * n)
        assert hidden.tolist() == [2 * n, 2 * n]


def test_what_is_written_before_a_failure():
    hidden = torch.zeros(2)
    reference = weakref.ref(hidden)

    @torch.compile
    def step(x):
        reference().copy_(x * 2)
        return float(x.sum())

    with pytest.warns(UserWarning, match="runs eagerly"):
        for n in range(3):
            assert step(torch.ones(2) * n) == 2 * n
            assert hidden.tolist() == [2 * n, 2 * n]
