"""Train steps with scaled losses, autocast and checkpointing inside: the compiled twin against the eager one."""

import pytest
from compiler.twins import Twins, close

import rushlight as torch
from rushlight import nn
from rushlight.utils.checkpoint import checkpoint, checkpoint_sequential

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


class Scaler:
    """Shows what a scaler holds."""

    def __init__(self, scaler):
        self.scaler = scaler

    def __eq__(self, other):
        return self.scaler.state_dict() == other.scaler.state_dict()


def scaled(optimizer, clip=False, autocast=False, **options):
    def make():
        m = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        o, s = OPTIMIZERS[optimizer](m.parameters()), torch.amp.GradScaler("cpu", **options)

        def step(x, y):
            o.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                loss = nn.functional.cross_entropy(m(x), y)
            s.scale(loss).backward()
            if clip:
                s.unscale_(o)
                nn.utils.clip_grad_norm_(m.parameters(), 0.1)
            s.step(o)
            s.update()
            return loss.detach()

        return step, m, o, Scaler(s)

    return make


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [False, True])
def test_a_scaled_step(optimizer, clip):
    twins = Twins(scaled(optimizer, clip), fullgraph=True)
    twins.run(X, Y, times=4)
    assert twins.compiles == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_gradient_that_overflows_skips_the_step(optimizer):
    twins = Twins(scaled(optimizer, init_scale=1024.0, growth_interval=2), fullgraph=True)
    twins.run(X, Y, times=2)
    bad = X.clone()
    bad[0, 0] = float("inf")
    for batch in (bad, X, bad, X):
        for m in (twins.eager_objects[0], twins.compiled_objects[0]):
            m[1].reset_running_stats()  # they hold the infinity too, which no comparison survives
        want, got = twins.eager(batch, Y), twins.compiled(batch, Y)
        assert torch.equal(want.isnan(), got.isnan())
        close(
            {k: v.detach() for k, v in twins.eager_objects[0].named_parameters()},
            {k: v.detach() for k, v in twins.compiled_objects[0].named_parameters()},
        )
        close(twins.eager_objects[1].state_dict(), twins.compiled_objects[1].state_dict())
        assert twins.eager_objects[2] == twins.compiled_objects[2]
    assert twins.compiled_objects[2].scaler.get_scale() < 4096
    assert twins.compiles == 1


def test_the_scale_grows_and_is_seen_outside():
    twins = Twins(scaled("sgd", init_scale=8.0, growth_interval=1), fullgraph=True)
    twins.run(X, Y, times=3)
    assert twins.compiled_objects[2].scaler.get_scale() == 64.0


def test_scaling_in_lower_precision():
    twins = Twins(scaled("adamw", autocast=True), fullgraph=True)
    for _ in range(3):
        # One program rounds to bfloat16 less often than a call for each operator.
        close(twins.eager(X, Y), twins.compiled(X, Y), rtol=2e-2)


@pytest.mark.parametrize("outside", [False, True])
def test_autocast(outside):
    def make():
        m = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        o = torch.optim.SGD(m.parameters(), lr=0.1)

        def step(x, y):
            o.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not outside or torch.is_autocast_enabled("cpu")):
                out = m(x)
                loss = nn.functional.cross_entropy(out, y)
            loss.backward()
            o.step()
            return loss.detach(), out.detach()

        return step, m, o

    twins = Twins(make, fullgraph=True)
    for lower in (True, False, True) if outside else (True, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=lower):
            want, got = twins.eager(X, Y), twins.compiled(X, Y)
        assert want[1].dtype == got[1].dtype == (torch.bfloat16 if lower else torch.float32)
        close(want, got, rtol=2e-2, atol=2e-2)
    assert all(p.grad.dtype is torch.float32 for p in twins.compiled_objects[0].parameters())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_checkpointing(reentrant, dropout):
    def make():
        first = nn.Linear(4, 8)
        block = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))
        m = nn.ModuleList([first, block])
        o = torch.optim.SGD(m.parameters(), lr=0.1)

        def step(x, y):
            o.zero_grad()
            loss = nn.functional.cross_entropy(checkpoint(block, first(x), use_reentrant=reentrant), y)
            loss.backward()
            o.step()
            return loss.detach()

        return step, m, o

    twins = Twins(make, fullgraph=True)
    if not dropout:
        twins.run(X, Y, times=3)
    else:  # other numbers are drawn inside, so the gradient must fit the drawn mask instead
        losses = [float(twins.compiled(X, Y)) for _ in range(60)]
        assert len(set(losses)) == 60 and sum(losses[-10:]) < sum(losses[:10])
    assert twins.compiles == 1


def test_checkpointed_segments():
    def make():
        m = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(4)], nn.Linear(4, 3))
        o = torch.optim.Adam(m.parameters())

        def step(x, y):
            o.zero_grad()
            loss = nn.functional.cross_entropy(checkpoint_sequential(m, 2, x, use_reentrant=False), y)
            loss.backward()
            o.step()
            return loss.detach()

        return step, m, o

    twins = Twins(make, fullgraph=True)
    twins.run(X, Y, times=3)
    assert twins.compiles == 1
