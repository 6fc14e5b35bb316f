"""Stacks of identical layers rolled into one loop give what the unrolled ones give, or are not rolled."""

import pytest
from compiler.twins import Twins, close

import rushlight as torch
from rushlight import nn

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, width=6, p=0.0, norm=False):
        super().__init__()
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(p)
        self.norm = nn.BatchNorm1d(width) if norm else nn.LayerNorm(width)

    def forward(self, x, shift=None):
        y = self.drop(self.outer(torch.tanh(self.inner(self.norm(x)))))
        return x + y if shift is None else x + y + shift


class Net(nn.Module):
    def __init__(self, depth=5, **options):
        super().__init__()
        self.blocks = nn.ModuleList(Block(**options) for _ in range(depth))
        self.head = nn.Linear(6, 3)

    def forward(self, x, shift=None):
        for block in self.blocks:
            x = block(x, shift)
        return self.head(x)


def scans(compiled):
    """How many loops there are in the program of the last call."""
    entry = next(iter(compiled.entries.values()))[0]
    jaxprs = [entry.jaxpr.jaxpr] + ([entry.backward_jaxpr.jaxpr] if hasattr(entry, "backward_jaxpr") else [])
    return sum(eqn.primitive.name == "scan" for jaxpr in jaxprs for eqn in jaxpr.eqns)


def training(model, call=None):
    def make():
        m = model()
        o = torch.optim.AdamW(m.parameters(), lr=0.01)

        def step(x, *more):
            o.zero_grad()
            out = m(x, *more) if call is None else call(m, x)
            loss = out.pow(2).mean()
            loss.backward()
            o.step()
            return loss.detach()

        return step, m, o

    return make


@pytest.mark.parametrize("norm", [False, True], ids=["layer norm", "batch norm"])
def test_a_train_step(norm):
    twins = Twins(training(lambda: Net(norm=norm)), scan_layers=True)
    twins.run(X, times=3)
    assert twins.compiles == 1 and scans(twins.compiled) == 2


def test_sequential_and_frozen_parameters():
    def model():
        m = nn.Sequential(nn.Linear(6, 6), *(Block() for _ in range(4)), nn.Linear(6, 2))
        for i in range(1, 5):
            m[i].inner.weight.requires_grad_(False)
        return m

    twins = Twins(training(model), scan_layers=True)
    twins.run(X, times=2)
    assert scans(twins.compiled) == 2


def test_another_argument_is_shared_by_all_layers():
    def make():
        m = Net()
        shift = torch.full((6,), 0.1, requires_grad=True)

        def step(x):
            m.zero_grad()
            shift.grad = None
            m(x, shift * 2).pow(2).mean().backward()
            return shift.grad.clone()

        return step, m

    twins = Twins(make, scan_layers=True)
    twins.run(X, times=2)
    assert scans(twins.compiled) == 2


def test_dropout_differs_by_layer_and_by_step():
    m = nn.Sequential(*(nn.Sequential(nn.Dropout(0.5), nn.Identity()) for _ in range(3)))
    rolled = torch.compile(lambda x: m(x), scan_layers=True)
    plain = torch.compile(lambda x: m(x))
    ones = torch.ones(64)
    torch.manual_seed(1)
    a, b = rolled(ones), rolled(ones)
    torch.manual_seed(1)
    c = plain(ones)
    assert scans(rolled) == 1 and (a == c).all() and (a != b).any() and set(a.tolist()) == {0.0, 8.0}


def test_forward_compiled_backward_eager():
    torch.manual_seed(0)
    eager = Net()
    torch.manual_seed(0)
    model = Net()
    compiled = torch.compile(model, scan_layers=True)
    for call in (eager, compiled):
        call(X).pow(2).sum().backward()
    close([p.grad for p in eager.parameters()], [p.grad for p in model.parameters()])
    assert scans(compiled._compiled_function) == 2
    with torch.no_grad():
        close(eager(X), compiled(X))


def _collect(m, x):
    seen = []
    for block in m.blocks:
        x = block(x)
        seen.append(x)
    return m.head(sum(seen))


def _residual(m, x):
    for block in m.blocks:
        x = x + block(x)
    return m.head(x)


def _some(m, x):
    for block in list(m.blocks)[:3]:
        x = block(x)
    return m.head(x)


def _backwards(m, x):
    for block in reversed(list(m.blocks)):
        x = block(x)
    return m.head(x)


@pytest.mark.parametrize("call", [_collect, _residual, _some, _backwards])
def test_what_is_no_plain_chain_is_not_rolled(call):
    twins = Twins(training(Net, call), scan_layers=True)
    twins.run(X, times=2)
    assert scans(twins.compiled) == 0


def test_layers_that_differ_are_not_rolled():
    def model():
        m = Net()
        m.blocks[2].drop.p = 0.0
        m.blocks[3].norm.eps = 1e-2
        return m

    twins = Twins(training(model), scan_layers=True)
    twins.run(X, times=2)
    assert scans(twins.compiled) == 0
    twins.both(lambda m, o: setattr(m.blocks[3].norm, "eps", 1e-5))
    twins.run(X)
    assert scans(twins.compiled) == 2
    twins.both(lambda m, o: setattr(m.blocks[1].norm, "eps", 1e-1))
    twins.run(X)
    assert scans(twins.compiled) == 0
