"""Whole train steps: the compiled twin must hold and give what the eager twin does, without recompiling."""

import warnings

import jax.numpy as jnp
import pytest
from compiler.twins import Twins, close

import rushlight as torch
from rushlight import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def net():
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
}


def training(optimizer="sgd", scheduler=None, model=net):
    def make():
        m = model()
        o = OPTIMIZERS[optimizer](m.parameters())
        s = scheduler(o) if scheduler else None
        loss_of = nn.CrossEntropyLoss()

        def step(x, y):
            o.zero_grad()
            loss = loss_of(m(x), y)
            loss.backward()
            o.step()
            if s is not None:
                s.step()
            return loss.detach()

        return step, m, o

    return make


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_train_step(optimizer):
    twins = Twins(training(optimizer))
    twins.run(X, Y, times=4)
    assert twins.compiles == 1
    ((entry,),) = twins.compiled.entries.values()
    assert entry.program._cache_size() == 1, "XLA compiled the same program again"


def test_state_that_is_not_tied_to_a_device_does_not_compile_twice():
    held = torch.nn.Parameter(torch.Tensor._of(jnp.ones(3)))

    @torch.compile
    def step(x):
        with torch.no_grad():
            held.add_(x)
        return held.sum()

    assert not held._array().committed
    assert [float(step(torch.ones(3))) for _ in range(3)] == [6.0, 9.0, 12.0]
    ((entry,),) = step.entries.values()
    assert entry.program._cache_size() == 1


def test_a_returned_loss_keeps_its_history_and_has_been_walked():
    def make():
        m = net()

        def step(x, y):
            loss = nn.functional.cross_entropy(m(x), y)
            loss.backward()
            return loss

        return step, m

    twins = Twins(make)
    loss = twins.run(X, Y)
    assert loss.requires_grad
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=8),
    ],
    ids=["step", "cosine", "one cycle"],
)
def test_a_schedule_inside_changes_the_rate_without_recompiling(scheduler):
    twins = Twins(training("momentum", scheduler))
    twins.run(X, Y, times=6)
    assert twins.compiles == 1


def test_a_rate_changed_outside_takes_effect_without_recompiling():
    twins = Twins(training("adam"))
    for rate in (0.01, 0.02, 0.5, 0.0):
        twins.both(lambda m, o, rate=rate: o.param_groups[0].update(lr=rate))
        twins.run(X, Y)
    assert twins.compiles == 1


def test_gradients_accumulate_over_calls():
    def make():
        m = net()
        o = torch.optim.SGD(m.parameters(), lr=0.1)

        def micro(x, y):
            nn.functional.cross_entropy(m(x), y).backward()

        return micro, m, o

    twins = Twins(make)
    for _ in range(3):
        twins.run(X, Y, times=3)
        twins.both(lambda m, o: (o.step(), o.zero_grad()))
    assert twins.compiles == 2  # without gradients at the start, and with


def test_forward_compiled_backward_eager():
    def make():
        m = net()
        return m, m

    torch.manual_seed(0)
    eager = net()
    torch.manual_seed(0)
    model = net()
    compiled = torch.compile(model)
    for _ in range(3):
        for m, call in ((eager, eager), (model, compiled)):
            m.zero_grad()
            x = X.clone().requires_grad_()
            out = call(x)
            (out.sigmoid() ** 2).sum().backward()
            m.seen = x.grad
        close(eager.seen, model.seen)
        close([p.grad for p in eager.parameters()], [p.grad for p in model.parameters()])
        close(dict(eager.state_dict()), dict(model.state_dict()))
    assert list(compiled.state_dict()) == list(eager.state_dict())
    assert repr(compiled) == repr(model)
    assert isinstance(compiled, nn.Sequential)


def test_module_compile_in_place():
    torch.manual_seed(0)
    eager = net()
    torch.manual_seed(0)
    model = net()
    model.compile()
    close(eager(X), model(X))
    close(dict(eager.state_dict()), dict(model.state_dict()))
    assert list(model.state_dict()) == list(eager.state_dict())


def test_dropout_draws_a_fresh_mask_per_step_reproducibly():
    model = nn.Dropout(0.5)

    @torch.compile
    def step(x):
        return model(x)

    torch.manual_seed(3)
    a, b = step(torch.ones(64)), step(torch.ones(64))
    torch.manual_seed(3)
    c = step(torch.ones(64))
    assert (a != b).any() and (a == c).all()
    assert set(a.tolist()) == {0.0, 2.0}
    model.eval()
    assert (step(torch.ones(64)) == 1).all()


def test_shared_weights():
    def make():
        m = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
        m["b"].weight = m["a"].weight
        o = torch.optim.Adam(m.parameters())

        def step(x):
            o.zero_grad()
            loss = m["b"](m["a"](x)).pow(2).mean()
            loss.backward()
            o.step()
            return loss.detach()

        return step, m, o

    Twins(make).run(X, times=3)


def test_clipping_and_a_moving_average():
    def make():
        m = net()
        ema = {n: p.detach().clone() for n, p in m.named_parameters()}
        o = torch.optim.SGD(m.parameters(), lr=0.1)

        def step(x, y):
            o.zero_grad()
            nn.functional.cross_entropy(m(x), y).backward()
            norm = nn.utils.clip_grad_norm_(m.parameters(), 0.1)
            o.step()
            with torch.no_grad():
                for n, p in m.named_parameters():
                    ema[n].lerp_(p, 0.1)
            return norm

        return step, m, o, ema

    twins = Twins(make)
    twins.run(X, Y, times=4)
    assert twins.compiles == 1


def test_an_averaged_model_inside():
    def make():
        m = net()
        o = torch.optim.SGD(m.parameters(), lr=0.1)
        swa = torch.optim.swa_utils
        averages = [
            swa.AveragedModel(m, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9), use_buffers=True),
            swa.AveragedModel(m),
        ]

        def step(x, y):
            o.zero_grad()
            loss = nn.functional.cross_entropy(m(x), y)
            loss.backward()
            o.step()
            for average in averages:
                average.update_parameters(m)
            return loss.detach()

        return step, m, o, *averages

    twins = Twins(make)
    twins.run(X, Y, times=4)
    assert twins.compiles == 1


def test_create_graph_inside():
    def make():
        w = torch.tensor([1.0, 2.0], requires_grad=True)

        def step(x):
            y = (w * x).pow(3).sum()
            (g,) = torch.autograd.grad(y, w, create_graph=True)
            g.pow(2).sum().backward()
            out = w.grad
            w.grad = None
            return out

        return step, w

    Twins(make).run(torch.tensor([1.0, -2.0]), times=2)


def test_hooks_inside():
    def make():
        m = net()
        m[0].register_forward_hook(lambda mod, args, out: out * 2)
        m[3].register_full_backward_hook(lambda mod, gi, go: tuple(g * 3 for g in gi))
        m[0].weight.register_hook(lambda g: g + 1)

        def step(x, y):
            m.zero_grad()
            loss = nn.functional.cross_entropy(m(x), y)
            loss.backward()
            return loss.detach()

        return step, m

    Twins(make).run(X, Y, times=2)


def test_in_place_and_views():
    def make():
        buffer = torch.zeros(4, 3)

        def step(x):
            buffer[1] += x
            buffer.t()[2].mul_(2)
            y = x.clone()
            y.view(3, 1)[1] = 7
            return y, buffer[1:3]

        return step, buffer

    twins = Twins(make)
    twins.run(torch.tensor([1.0, 2.0, 3.0]), times=3)
    assert twins.compiles == 1


def test_writing_to_an_argument():
    @torch.compile
    def double(x):
        x.mul_(2)
        return x

    a = torch.ones(3)
    assert double(a) is a and a.tolist() == [2.0, 2.0, 2.0]
    double(a)
    assert a.tolist() == [4.0, 4.0, 4.0]


def test_backward_inside_to_an_argument():
    @torch.compile
    def f(x, w):
        (x * w).pow(2).sum().backward()

    x, w = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0], requires_grad=True)
    for times in (1, 2, 3):
        f(x, w)
        assert w.grad.tolist() == [6.0 * times, -8.0 * times]
    other = torch.tensor([1.0, 1.0], requires_grad=True)
    f(x, other)
    f(x, other)
    assert other.grad.tolist() == [4.0, 16.0] and w.grad.tolist() == [18.0, -24.0]


def test_custom_function_inside():
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.round()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (x.abs() < 1)

    def make():
        w = torch.tensor([0.3, 1.7, -0.6], requires_grad=True)

        def step(x):
            w.grad = None
            (Straight.apply(w * x) ** 2).sum().backward()
            return w.grad.clone()

        return step, w

    Twins(make).run(torch.tensor([1.0, 1.0, -1.0]), times=2)


def test_nested_compiled_functions_and_methods():
    @torch.compile
    def inner(x):
        return x * 2

    class Thing:
        def __init__(self, scale):
            self.scale = torch.tensor(scale)

        @torch.compile
        def run(self, x):
            return inner(x) * self.scale

    a, b = Thing(2.0), Thing(3.0)
    assert a.run(torch.ones(2)).tolist() == [4.0, 4.0]
    assert b.run(torch.ones(2)).tolist() == [6.0, 6.0]
    a.scale = torch.tensor(5.0)
    assert a.run(torch.ones(2)).tolist() == [10.0, 10.0]


def test_results_of_any_structure():
    w = torch.ones(2)

    @torch.compile
    def f(x, *, flag=False):
        return {"y": x + 1, "list": [x * 2, None, "text"], "w": w, "x": x, "twice": (x.sum(), x.sum())}

    x = torch.arange(2.0)
    out = f(x, flag=True)
    assert out["y"].tolist() == [1.0, 2.0] and out["list"][1:] == [None, "text"] and out["w"] is w and out["x"] is x


def test_arrays_that_others_hold_survive():
    m = nn.Linear(2, 2)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    @torch.compile
    def step(x):
        o.zero_grad()
        loss = m(x).pow(2).sum()
        loss.backward()
        o.step()
        return loss.detach()

    x = torch.ones(1, 2)
    step(x)
    snapshot = {k: v.clone() for k, v in m.state_dict().items()}
    seen = m.weight.detach().numpy().copy()
    lent = torch.from_dlpack(m.weight.detach())
    array = m.weight._array()
    losses = [step(x) for _ in range(3)]
    assert snapshot["weight"].tolist() == seen.tolist() == lent.tolist() == array.tolist()
    assert m.weight.tolist() != seen.tolist()
    assert losses[0].item() > losses[1].item() > losses[2].item()


def test_an_exception_in_the_middle_leaves_everything_as_it_was():
    m = net()
    o = torch.optim.Adam(m.parameters())
    before = {k: v.tolist() for k, v in m.state_dict().items()}
    fail = [True]

    @torch.compile
    def step(x):
        o.zero_grad()
        m(x).sum().backward()
        o.step()
        if fail:
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        step(X)
    assert {k: v.tolist() for k, v in m.state_dict().items()} == before
    assert all(p.grad is None for p in m.parameters()) and not o.state
    fail.clear()
    step(X)
    assert len(o.state) == 5 and {k: v.tolist() for k, v in m.state_dict().items()} != before


def test_a_value_that_python_needs_runs_eagerly_with_one_warning():
    @torch.compile
    def f(x):
        if x.sum() > 0:
            return x + 1
        return x - 1

    with pytest.warns(UserWarning, match=r"test_steps.py:\d+ .*needs a value"):
        assert f(torch.ones(2)).tolist() == [2.0, 2.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f(-torch.ones(2)).tolist() == [-2.0, -2.0]
    with pytest.raises(NotImplementedError, match="fullgraph=True"):
        torch.compile(f.function, fullgraph=True)(torch.ones(2))


@pytest.mark.parametrize("way", ["item", "print", "list", "mask"])
def test_other_ways_to_need_a_value(way, capsys):
    kept = []

    @torch.compile
    def f(x):
        if way == "item":
            return x * x.sum().item()
        if way == "print":
            print(x)
        if way == "list":
            kept.append(x * 2)
        if way == "mask":
            return x[x > 0]
        return x + 1

    with pytest.warns(UserWarning, match="runs eagerly"):
        first = f(torch.ones(2))
    assert first.tolist() == ([2.0, 2.0] if way != "mask" else [1.0, 1.0])
    f(torch.ones(2))
    if way == "list":
        assert [k.tolist() for k in kept] == [[2.0, 2.0], [2.0, 2.0]]


def test_disable():
    @torch.compile.disable
    def outside(x):
        return x.sum().item()

    @torch.compile
    def f(x):
        return x + outside(x)

    with pytest.warns(UserWarning, match="compile.disable"):
        assert f(torch.ones(2)).tolist() == [3.0, 3.0]

    @torch.compile
    def g(x):
        return x + 1

    with torch.compile.disable():
        g(torch.ones(2))
    assert torch.compile.explain(g).compiles == 0
