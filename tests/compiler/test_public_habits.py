"""Habits of public packages around compiled steps: dicts of their own, decorators, operators in tables, results."""

import collections
import dataclasses

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

from .twins import Twins, close

X = torch.arange(6.0).reshape(2, 3) / 5


class Signed(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad.sign(), alpha=-group["lr"])


def scheduled(make):
    def made():
        model = nn.Linear(3, 2)
        optimizer = make(model.parameters())
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            rate = optimizer.param_groups[0]["lr"] * loss.detach()
            optimizer.step()
            schedule.step()
            return loss, rate

        return step, model, optimizer

    return made


@pytest.mark.parametrize("make", [lambda p: Signed(p, 0.1), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)])
def test_a_schedule_after_a_rate_was_read(make):
    twins = Twins(scheduled(make), fullgraph=True)
    for _ in range(8):
        twins.run(X)
    assert torch.compile.explain(twins.compiled).compiles == 2  # the second takes the rate as an input


class Makes(collections.OrderedDict):
    """Gives what its entries make, a new one every time."""

    def __getitem__(self, key):
        return super().__getitem__(key)()


class ByClass(dict):
    """Is asked for objects, and keeps what it has by the names of their classes."""

    def __setitem__(self, key, value):
        super().__setitem__(type(key).__name__, value)

    def get(self, key):
        return super().get(type(key).__name__)


LAYERS = Makes(tanh=nn.Tanh, relu=nn.ReLU)
FACTORS = ByClass()
FACTORS[1.5] = 3


@pytest.fixture
def restored():
    yield
    FACTORS[1.5] = 3


def test_dicts_with_ways_of_their_own(restored):
    @torch.compile(fullgraph=True)
    def step(x):
        return LAYERS["tanh"](x) * FACTORS.get(2.5)

    for factor in (3, 4):
        FACTORS[1.5] = factor
        for _ in range(2):
            close(step(X), X.tanh() * factor)
    assert torch.compile.explain(step).compiles == 2
    assert list(LAYERS) == ["tanh", "relu"] and dict.__getitem__(LAYERS, "relu") is nn.ReLU


@torch.no_grad()
def doubled(x):
    return x * 2


@torch.compiler.disable
def outside(x):
    return x * 3


WAYS = {"doubled": doubled, "outside": outside}


def test_decorated_functions_in_a_table():
    @torch.compile(fullgraph=True)
    def step(x):
        return WAYS["doubled"](x)

    for _ in range(2):
        close(step(X), X * 2)


def test_an_operator_in_a_module():
    class Act(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x, approximate="tanh")

    expected = F.gelu(X, approximate="tanh")
    F.gelu.programs.clear()
    close(torch.compile(Act(F.gelu), fullgraph=True)(X), expected)


@dataclasses.dataclass
class Output(collections.OrderedDict):
    sample: torch.Tensor
    loss: torch.Tensor | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self[field.name] = getattr(self, field.name)


def test_a_result_that_is_an_ordered_dict():
    @torch.compile(fullgraph=True)
    def step(x):
        return Output(x * 2, x.sum())

    for _ in range(2):
        out = step(X)
        assert type(out) is Output and list(out) == ["sample", "loss"] == list(out.keys())
        close(out.sample, X * 2)
        assert out["sample"] is out.sample and [*out.values()][1] is out.loss


class Layer:
    def __init__(self, keys):
        self.keys, self.length = keys, keys.shape[0]


class Cache:
    """Keys of layers, each of which knows it."""

    __slots__ = ("__dict__", "first")

    def __init__(self):
        self.layers, self.name = [], "cache"

    def add(self, keys):
        layer = Layer(keys)
        layer.owner = self
        self.layers.append(layer)
        self.first = self.layers[0]
        return keys.sum()


def test_a_result_with_objects_made_inside():
    model = nn.Linear(3, 2)
    kept = Cache()

    def forward(x):
        cache = Cache()
        cache.add(model(x))
        total = cache.add(x * 2)
        return {"loss": total, "cache": cache, "again": cache, "kept": kept, "layer": cache.layers[1]}

    compiled = torch.compile(forward, fullgraph=True)
    for scale in (1, 2, 3):
        x = X * scale
        out, expected = compiled(x), forward(x)
        cache = out["cache"]
        assert type(cache) is Cache and out["again"] is cache and out["kept"] is kept and cache.name == "cache"
        assert [layer.length for layer in cache.layers] == [2, 2] and cache.layers[1] is out["layer"]
        assert cache.first is cache.layers[0] and all(layer.owner is cache for layer in cache.layers)
        close([layer.keys for layer in cache.layers], [layer.keys for layer in expected["cache"].layers])
        grads = [torch.autograd.grad(o["cache"].first.keys.square().sum(), model.weight)[0] for o in (out, expected)]
        close(*grads)
    assert torch.compile.explain(compiled).compiles == 1 and out["cache"] is not compiled(X)["cache"]


class Config:
    kind = None
    turns = False


def classifies():
    model = nn.Linear(3, 2)
    config, table = Config(), {"mode": "new"}
    config.kind, config.turns = None, False

    def forward(x, turn=False):
        if config.kind is None:
            config.kind = "single"
        table["mode"] = config.kind + ("!" if config.turns else "")
        if turn:
            config.turns = not config.turns
        return model(x).sum() * (2 if config.kind == "single" else 3), table["mode"]

    return forward, model, vars(config), table


def test_a_configuration_that_the_first_call_completes():
    twins = Twins(classifies, fullgraph=True)
    for _ in range(3):
        twins.run(X)
    assert torch.compile.explain(twins.compiled).compiles == 1
    for kind in ("double", None, "single"):
        twins.both(lambda model, config, table, kind=kind: config.update(kind=kind))
        twins.run(X, times=2)


def test_a_flag_that_turns_on_every_call():
    twins = Twins(classifies, fullgraph=True)
    for _ in range(6):
        twins.run(X, turn=True)
    assert torch.compile.explain(twins.compiled).compiles == 2


def test_tensors_in_a_circle_are_not_kept():
    @torch.compile(fullgraph=True)
    def step(x):
        cache = Cache()
        cache.add(x * 2)
        return cache.first.keys.sum()

    close(step(X), X.sum() * 2)


def test_experts_whose_kernel_walks_through_values():
    def kernel(input, weight, offs):
        start, parts = 0, []
        for expert, end in enumerate(offs.tolist()):
            parts.append(input[start:end] @ weight[expert])
            start = end
        return torch.cat([*parts, torch.zeros(len(input) - start, weight.shape[2])])

    torch.library.custom_op(
        "transformers::grouped_mm_fallback", kernel, mutates_args=(),
        schema="(Tensor input, Tensor weight, Tensor offs) -> Tensor",
    )  # fmt: skip
    weight = nn.Parameter(torch.randn(3, 3, 2))

    def forward(x, offs):
        out = torch.ops.transformers.grouped_mm_fallback(x, weight, offs)
        return out.square().sum(), torch.autograd.grad(out.square().sum(), weight)[0]

    compiled = torch.compile(forward, fullgraph=True)
    x = torch.randn(6, 3)
    for offs in ([1, 1, 5], [2, 4, 6], [0, 0, 6]):
        ends = torch.tensor(offs)
        expected = kernel(x, weight, ends).square().sum()
        close(compiled(x, ends), (expected, torch.autograd.grad(expected, weight)[0]))
    assert torch.compile.explain(compiled).compiles == 1


class Capturing(nn.Module):
    """Puts hooks on its layers when it is called for the first time, and collects what they see."""

    def __init__(self, flags):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
        if flags:
            self.layers[0].register_forward_hook(lambda module, args, kwargs, out: out + 1, with_kwargs=True)
        self.active = {"list": None}

    def see(self, module, args, out):
        if self.active["list"] is not None:
            self.active["list"].append(out)

    def forward(self, x):
        if not getattr(self, "installed", False):
            for layer in self.layers:
                layer.register_forward_hook(self.see)
            self.installed = True
        seen = []
        self.active["list"] = seen
        try:
            out = self.layers(x)
        finally:
            self.active["list"] = None
        return out.sum() + sum(s.sum() for s in seen), len(seen)


@pytest.mark.parametrize("flags", [False, True])
def test_hooks_that_the_first_call_registers(flags):
    def make():
        model = Capturing(flags)
        return model, model

    twins = Twins(make, fullgraph=True)
    for _ in range(3):
        assert twins.run(X)[1] == 3
    assert torch.compile.explain(twins.compiled).compiles == 1
    assert [len(m._forward_hooks) for m in twins.compiled_objects[0].layers] == [1 + flags, 1, 1]


def test_numpy_draws_from_a_seed():
    @torch.compile(fullgraph=True)
    def step(x):
        draws = np.random.RandomState(1)
        assert isinstance(draws, np.random.RandomState)
        return ((x - torch.tensor(draws.standard_normal((2, 3)).astype(np.float32))) ** 2).mean()

    for _ in range(2):
        close(step(X), step.function(X))


def test_numpy_draws_without_a_seed():
    @torch.compile
    def step(x):
        return x + np.random.RandomState().standard_normal()

    with pytest.warns(UserWarning, match="runs eagerly"):
        first = step(X)
    assert not torch.equal(first, step(X))
