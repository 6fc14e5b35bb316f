"""Whatever changes between two calls, the compiled function gives what the eager one gives."""

import copy
import warnings

import pytest
from compiler.twins import Twins, close
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rushlight as torch
from rushlight import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 1, 2, 0, 1, 2])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8, bias=False)
        self.norm = nn.BatchNorm1d(8)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])
        self.last = nn.Linear(8, 3)
        self.scale = 1.0
        self.mode = "plain"
        self.sizes = [1, 2]
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        x = self.norm(self.first(x))
        for block in self.blocks:
            x = block(x)
        if self.training:
            self.calls += 1
        if self.mode == "double":
            x = x * 2
        return self.last(x) * self.scale * len(self.sizes)


def make():
    m = Net()
    o = torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9)

    def step(x, y, weight=1.0):
        o.zero_grad()
        loss = nn.functional.cross_entropy(m(x), y) * weight
        loss.backward()
        o.step()
        return loss.detach()

    return step, m, o


def _hook(m, o):
    m.handle = m.first.register_forward_hook(lambda mod, args, out: out * 0.5)


def _unhook(m, o):
    if hasattr(m, "handle"):
        m.handle.remove()


def _freeze(name, value):
    return lambda m, o: m.get_submodule(name).requires_grad_(value)


def _replace(m, o):
    m.last.weight = nn.Parameter(torch.ones(3, 8) * 0.1)


def _data(m, o):
    m.first.weight.data = m.first.weight.data * 2


def _block(m, o):
    torch.manual_seed(9)
    m.blocks[1] = nn.Sequential(nn.Linear(8, 8), nn.ReLU())


def _append(m, o):
    torch.manual_seed(10)
    m.blocks.append(nn.Linear(8, 8))


def _write(m, o):
    with torch.no_grad():
        m.last.bias.add_(0.3)


def _load(m, o):
    m.load_state_dict({k: v * 0.9 if v.is_floating_point() else v for k, v in m.state_dict().items()})


def _moment(m, o):
    held = o.state[m.last.bias]
    if held.get("momentum_buffer") is not None:
        held["momentum_buffer"] = held["momentum_buffer"] * 0.5


def _group(m, o):
    known = {id(p) for g in o.param_groups for p in g["params"]}
    new = [p for p in m.parameters() if id(p) not in known]
    if new:
        o.add_param_group({"params": new, "lr": 0.01})


CHANGES = {
    "eval": lambda m, o: m.eval(),
    "train": lambda m, o: m.train(),
    "eval of one": lambda m, o: m.norm.eval(),
    "freeze": _freeze("first", False),
    "unfreeze": _freeze("first", True),
    "hook": _hook,
    "unhook": _unhook,
    "attribute": lambda m, o: setattr(m, "mode", "double"),
    "attribute back": lambda m, o: setattr(m, "mode", "plain"),
    "number": lambda m, o: setattr(m, "scale", m.scale * 1.25),
    "list attribute": lambda m, o: m.sizes.append(0) if len(m.sizes) < 4 else m.sizes.clear(),
    "parameter": _replace,
    "parameter's data": _data,
    "parameter's contents": _write,
    "module in a container": _block,
    "one more module": _append,
    "rate": lambda m, o: o.param_groups[0].update(lr=o.param_groups[0]["lr"] * 0.7),
    "momentum": lambda m, o: o.param_groups[0].update(momentum=0.5),
    "weight decay": lambda m, o: o.param_groups[0].update(weight_decay=0.01),
    "state dict": _load,
    "optimizer state": lambda m, o: o.load_state_dict(copy.deepcopy(o.state_dict())),
    "one state tensor": _moment,
    "gradients": lambda m, o: m.zero_grad(),
    "param group": _group,
    "buffer": lambda m, o: setattr(m, "calls", torch.full((), 5.0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_calls(change):
    twins = Twins(make)
    twins.run(X, Y, times=2)
    twins.both(CHANGES[change])
    twins.run(X, Y, times=2)


CALLS = {
    "call": lambda t: t.run(X, Y),
    "other batch": lambda t: t.run(X[:3], Y[:3]),
    "other number": lambda t: t.run(X, Y, 2.5),
    "another number": lambda t: t.run(X, Y, weight=0.3),
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.sampled_from([*CHANGES, *CALLS]), min_size=3, max_size=9))
def test_any_sequence_of_changes_and_calls(sequence):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was compiled.*times")
        twins = Twins(make)
        twins.run(X, Y)
        for name in sequence:
            if name in CALLS:
                CALLS[name](twins)
            else:
                twins.both(CHANGES[name])
        twins.run(X, Y)
    assert not any(entry is None for held in twins.compiled.entries.values() for entry in held)


def test_numbers_that_vary_compile_at_most_once_more():
    twins = Twins(make)
    for weight in (1.0, 0.5, 0.25, 2.0, 3.0):
        twins.run(X, Y, weight)
    for scale in (1.0, 0.5, 0.25, 2.0, 3.0):
        twins.both(lambda m, o, scale=scale: setattr(m, "scale", scale))
        twins.run(X, Y, 7.0)
    assert twins.compiles == 3
    reasons = torch.compile.explain(twins.compiled).reasons
    assert "0.5 instead of 1.0" in reasons[1] and "'scale'" in reasons[2]


def test_a_number_that_python_looks_at_has_a_program_for_each_value():
    @torch.compile
    def f(x, n):
        for _ in range(n):
            x = x + 1
        return x

    assert [f(torch.zeros(1), n).item() for n in (1, 2, 3, 2, 1)] == [1.0, 2.0, 3.0, 2.0, 1.0]
    assert torch.compile.explain(f).compiles == 3


def test_modes_and_dtypes():
    m = nn.Linear(4, 2)

    @torch.compile
    def f(x):
        return m(x) if torch.is_grad_enabled() else m(x) * 2, torch.zeros(1)

    a = f(X)[0]
    with torch.no_grad():
        b = f(X)[0]
    close(a.detach() * 2, b)
    assert not b.requires_grad
    torch.set_default_dtype(torch.float64)
    try:
        assert f(X)[1].dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    m.to(torch.float64)
    assert f(X.double())[0].dtype is torch.float64


scale_everywhere = 1.0


def test_globals_and_closures():
    global scale_everywhere
    inner = 2.0
    table = {"k": 3.0}

    @torch.compile
    def f(x):
        return x * scale_everywhere * inner * table["k"]

    one = torch.ones(1)
    assert f(one).item() == 6.0
    scale_everywhere = 2.0
    assert f(one).item() == 12.0
    inner = 5.0
    assert f(one).item() == 30.0
    table["k"] = 1.0
    assert f(one).item() == 10.0
    scale_everywhere = 1.0


def test_explain_names_paths_and_arguments():
    twins = Twins(make)
    twins.run(X, Y)
    twins.run(X[:3], Y[:3])
    twins.both(CHANGES["eval of one"])
    twins.run(X, Y)
    twins.both(CHANGES["freeze"])
    twins.run(X, Y)
    text = repr(torch.compile.explain(twins.compiled))
    assert "[3, 4] instead of [6, 4]" in text
    assert "'training' of module 'm.norm' is False instead of True" in text
    assert "requires_grad of 'm.first.weight' is False" in text


def test_a_warning_after_many_compilations():
    @torch.compile
    def f(x):
        return x + 1

    for n in range(1, 9):
        f(torch.zeros(n))
    with pytest.warns(UserWarning, match="was compiled 9 times"):
        f(torch.zeros(9))


def test_attributes_that_the_function_sets():
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = None
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            self.mean = 0.5 * self.mean + 0.5 * x.mean(0)
            self.last = x * 2
            return x + self.mean

    def build():
        m = Memory()
        return m, m

    twins = Twins(build)
    for i in range(3):
        a, b = twins.eager(X[:, :3] + i), twins.compiled(X[:, :3] + i)
        close(a, b)
        close(twins.eager_objects[0].last, twins.compiled_objects[0].last)
        twins.compare()


def test_activations_kept_by_a_hook():
    m = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    seen = {}
    m[0].register_forward_hook(lambda mod, args, out: seen.__setitem__("out", out.detach()))
    f = torch.compile(lambda x: m(x))
    for scale in (1.0, 2.0):
        f(X * scale)
        close(seen["out"], m[0].forward(X * scale).detach())


def test_numbers_that_are_written_are_computed_on_every_call():
    class Counter(nn.Module):
        count = 0

        def forward(self, x):
            self.count = self.count + 1
            return x * self.count

    m = Counter()
    f = torch.compile(lambda x: m(x), fullgraph=True)
    assert [f(torch.ones(1)).item() for _ in range(5)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert torch.compile.explain(f).compiles == 2 and m.count == 5 and Counter.count == 0


def test_state_that_gets_its_size_inside():
    def make():
        held = torch.tensor([])

        def f(x):
            if held.numel() == 0:
                held.resize_(3).zero_()
            held.add_(x)
            return held * 2

        return f

    eager, compiled = make(), torch.compile(make(), fullgraph=True)
    for k in range(4):
        x = torch.ones(3) * k
        close(eager(x), compiled(x))
    assert len(compiled.history) == 1


def test_state_that_grows_with_every_call_runs_eagerly():
    held = torch.tensor([])

    def f(x):
        held.resize_(held.numel() + 1)
        held[-1] = x.sum()
        return held.sum()

    compiled = torch.compile(f)
    with pytest.warns(UserWarning, match="size of a tensor outside changes"):
        found = [compiled(torch.ones(2)).item() for _ in range(10)]
    assert found == [2.0 * k for k in range(1, 11)]
