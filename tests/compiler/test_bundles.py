"""The state of rolled layers stays stacked between steps, and nobody can tell from the values."""

import copy
import gc

import pytest
from compiler.test_scan_layers import Block, Net, X, scans
from compiler.twins import Twins, close, state

import rushlight as torch
from rushlight import nn
from rushlight._tensor.unread import Unread

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "two groups": lambda p: torch.optim.Adam([{"params": p[:7], "lr": 0.02}, {"params": p[7:]}], lr=0.01),
}


def training(model=Net, optimizer=OPTIMIZERS["adamw"], between=None):
    def make():
        m = model()
        o = optimizer(list(m.parameters()))

        def step(x):
            o.zero_grad()
            loss = m(x).pow(2).mean()
            loss.backward()
            if between is not None:
                between(m)
            o.step()
            return loss.detach()

        return step, m, o

    return make


def rows(model):
    """How many parameters hold rows that nobody read."""
    return sum(type(p._storage.form) is Unread for p in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_without_a_look_between_them(name):
    twins = Twins(training(optimizer=OPTIMIZERS[name]), scan_layers=True)
    for _ in range(4):
        close(twins.eager(X), twins.compiled(X))
    assert twins.compiles == 1 and scans(twins.compiled) == 2
    if name != "two groups":
        assert rows(twins.compiled_objects[0]) == 30
    twins.compare()
    assert rows(twins.compiled_objects[0]) == 0
    twins.run(X, times=2)


def test_what_a_program_takes_does_not_grow_with_the_layers():
    counts = []
    for depth in (3, 9):
        twins = Twins(training(lambda depth=depth: Net(depth=depth)), scan_layers=True)
        twins.compiled(X)
        jaxpr = next(iter(twins.compiled.entries.values()))[0].jaxpr.jaxpr
        counts.append((len(jaxpr.eqns), len(jaxpr.outvars)))
    assert counts[0] == counts[1]


def test_changes_between_steps_are_seen():
    twins = Twins(training(), scan_layers=True)

    def scale(model, _):
        with torch.no_grad():
            model.blocks[2].inner.weight.mul_(0.5)

    def replace(model, _):
        model.blocks[0].outer.bias.data = torch.ones(6)

    def load(model, optimizer):
        model.load_state_dict({k: v * 0.9 for k, v in model.state_dict().items()})
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    for change in (scale, replace, load):
        twins.compiled(X)
        twins.eager(X)
        twins.both(change)
        close(twins.eager(X), twins.compiled(X))
    twins.compare()


def test_two_programs_hand_the_stacks_to_each_other():
    twins = Twins(training(), scan_layers=True)
    for x in (X, X[:3], X, X[:3]):
        close(twins.eager(x), twins.compiled(x))
        assert rows(twins.compiled_objects[0]) == 30
    assert twins.compiles == 2
    twins.compare()


def test_what_somebody_holds_stays_as_it_was():
    twins = Twins(training(), scan_layers=True)
    twins.compiled(X)
    model, optimizer = twins.compiled_objects
    weight = model.blocks[1].inner.weight
    grad = weight.grad
    seen = weight.detach().clone()
    held = copy.deepcopy(model)
    snapshot = model.state_dict(copy=True)
    moment = copy.deepcopy(optimizer.state[model.blocks[4].norm.bias]["exp_avg"])
    before = grad.clone()
    for _ in range(2):
        twins.compiled(X)
    gc.collect()
    for kept in (held.blocks[1].inner.weight.detach(), snapshot["blocks.1.inner.weight"]):
        close(kept, seen)
    close(grad, before)
    assert not torch.equal(weight, seen) and torch.isfinite(moment).all()


def test_gradients_are_rows_too_and_clipping_works():
    twins = Twins(training(between=lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.01)), scan_layers=True)
    for _ in range(3):
        close(twins.eager(X), twins.compiled(X))
    assert type(twins.compiled_objects[0].blocks[0].inner.weight.grad._storage.form) is Unread
    twins.compare()


def test_accumulated_gradients():
    def make():
        m = Net()
        o = torch.optim.AdamW(m.parameters(), lr=0.01)

        def step(x):
            for part in x.split(2):
                m(part).pow(2).mean().backward()
            o.step()
            return m.head.bias.sum().detach()

        return step, m, o

    twins = Twins(make, scan_layers=True)
    twins.run(X, times=3)


def test_an_average_kept_beside_the_model():
    def make():
        m = Net()
        average = copy.deepcopy(m).requires_grad_(False)
        o = torch.optim.SGD(m.parameters(), lr=0.05)

        def step(x):
            o.zero_grad()
            loss = m(x).pow(2).mean()
            loss.backward()
            o.step()
            with torch.no_grad():
                for a, p in zip(average.parameters(), m.parameters()):
                    a.mul_(0.9).add_(p, alpha=0.1)
            return loss.detach()

        return step, m, average, o

    twins = Twins(make, scan_layers=True)
    for _ in range(3):
        close(twins.eager(X), twins.compiled(X))
    twins.compare()


def test_scaled_steps_that_are_skipped():
    def make():
        m = Net()
        o = torch.optim.AdamW(m.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)

        def step(x):
            o.zero_grad()
            scaler.scale(m(x).pow(2).mean()).backward()
            scaler.step(o)
            scaler.update()
            return m.head.bias.sum().detach()

        return step, m, o

    twins = Twins(make, scan_layers=True)
    for x in (X, X * float("inf"), X):
        close(twins.eager(x), twins.compiled(x))
    twins.compare()


def test_frozen_layers_and_buffers_beside_the_stacks():
    def model():
        m = Net(norm=True)
        for block in m.blocks:
            block.inner.bias.requires_grad_(False)
        return m

    twins = Twins(training(model), scan_layers=True)
    for _ in range(3):
        close(twins.eager(X), twins.compiled(X))
    twins.compare()


def test_a_layer_that_is_trained_by_another_optimizer():
    def make():
        m = Net()
        own = list(m.blocks[1].parameters())
        rest = [p for p in m.parameters() if not any(p is q for q in own)]
        first, second = torch.optim.AdamW(rest, lr=0.01), torch.optim.SGD(own, lr=0.1)

        def step(x):
            first.zero_grad()
            second.zero_grad()
            loss = m(x).pow(2).mean()
            loss.backward()
            first.step()
            second.step()
            return loss.detach()

        return step, m, first, second

    twins = Twins(make, scan_layers=True)
    for _ in range(3):
        close(twins.eager(X), twins.compiled(X))
    twins.compare()


def test_saved_and_loaded_in_mid_training(tmp_path):
    twins = Twins(training(), scan_layers=True)
    twins.compiled(X)
    twins.eager(X)
    model, optimizer = twins.compiled_objects
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    expected = copy.deepcopy(state(*twins.compiled_objects)[0])
    twins.compiled(X)
    held = torch.load(tmp_path / "a.pt")
    close({k: v.detach() for k, v in held["model"].items()}, expected)
    model.load_state_dict(held["model"])
    optimizer.load_state_dict(held["optimizer"])
    close(twins.eager(X), twins.compiled(X))
    close(list(model.parameters()), list(twins.eager_objects[0].parameters()))


def test_a_stack_of_stacks():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.outer = nn.ModuleList(nn.Sequential(*(Block() for _ in range(3))) for _ in range(3))

        def forward(self, x):
            for part in self.outer:
                x = part(x)
            return x

    twins = Twins(training(Deep), scan_layers=True)
    for _ in range(3):
        close(twins.eager(X), twins.compiled(X))
    twins.compare()
