"""Numbers that Python computes on every call, outcomes of what it decides by them, and places that are given them."""

import contextlib
import math
import warnings

import pytest

import rushlight as torch
from rushlight import nn

CALLS = [0, 1, 2, 3, 4, 5, 6, 3, 9]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.count, self.ema, self.best, self.done = 0, 0.0, None, False

    def forward(self, x):
        return self.layer(x)


def training(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)):
    torch.manual_seed(0)
    model = Model()
    return model, optimizer(model.parameters())


def learn(model, optimizer, x, weight=1.0):
    optimizer.zero_grad()
    loss = model(x).pow(2).sum() * weight
    loss.backward()
    optimizer.step()
    return loss


def counter_of_a_module():
    model, optimizer = training()

    def step(x, i):
        model.count += 1
        return learn(model, optimizer, x, model.count), model.count, model.count * 0.5

    return step, lambda: model.count


def counters_of_a_trainer():
    model, optimizer = training(lambda p: torch.optim.Adam(p, lr=0.1))

    class Trainer:
        steps, seen, scale = 0, 0, 1.0

        def __init__(self):
            self.steps, self.seen, self.scale, self.done = 0, 0, 1.0, False

        def train(self, x, i):
            self.steps += 1
            self.seen += x.shape[0]
            loss = model(x).pow(2).sum() * self.scale
            loss.backward()
            if self.steps % 2 == 0:
                optimizer.step()
                optimizer.zero_grad()
            self.scale *= 0.9
            self.done = True
            return loss

    trainer = Trainer()
    return trainer.train, lambda: vars(trainer)


def rates_by_hand():
    model, optimizer = training(torch.optim.AdamW)
    held = {"n": 0}

    def step(x, i):
        rate = 0.1 * min(1.0, (held["n"] + 1) / 3) * 0.5 * (1 + math.cos(math.pi * held["n"] / 10))
        for group in optimizer.param_groups:
            group["lr"] = rate
        assert optimizer.param_groups[0]["lr"] == rate
        held["n"] += 1
        return learn(model, optimizer, x), optimizer.param_groups[0]["lr"]

    return step, lambda: (held, optimizer.param_groups[0]["lr"])


def rates_after_the_step():
    model, optimizer = training()

    def step(x, i):
        loss = learn(model, optimizer, x)
        optimizer.param_groups[0].update(lr=optimizer.param_groups[0]["lr"] * 0.5)
        return loss

    return step, lambda: optimizer.param_groups[0]["lr"]


def schedule_first():
    model, optimizer = training()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    learn(model, optimizer, torch.ones(1, 2))

    def step(x, i):
        schedule.step()
        return learn(model, optimizer, x)

    return step, lambda: schedule.get_last_lr()


def rate_before_the_schedule():
    model, optimizer = training()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    learn(model, optimizer, torch.ones(1, 2))

    def step(x, i):
        rate = optimizer.param_groups[0]["lr"]
        schedule.step()
        return learn(model, optimizer, x) * rate, rate

    return step, lambda: schedule.get_last_lr()


TOTAL = 0


def a_global():
    global TOTAL
    TOTAL = 0

    def step(x, i):
        global TOTAL
        TOTAL += 1
        return x * TOTAL if TOTAL % 3 else x

    return step, lambda: TOTAL


def a_variable():
    n = 0

    def step(x, i):
        nonlocal n
        n = n + 2
        return x + n

    return step, lambda: n


def branches():
    return lambda x, i: (x * 2 if (i + 1) % 4 == 0 else x + i, i % 2 == 0, i * 0.5, -i // 2, abs(i - 4)), tuple


def marks_and_the_best():
    model = Model()

    def step(x, i):
        model.done, model.best = True, i if model.best is None else max(model.best, i)
        model.ema = 0.9 * model.ema + 0.1 * i
        return x * model.ema + model.best

    return step, lambda: (model.done, model.best, model.ema)


def a_constant():
    model = Model()

    def step(x, i):
        model.count = 7
        y = model.count
        model.last = x.shape[0]
        return x * y * model.last

    return step, lambda: (model.count, model.last)


def a_ring():
    model, held = Model(), torch.zeros(3, 2)

    def step(x, i):
        held[model.count % 3] = x[0]
        model.count = (model.count + 1) % 3
        return held.sum()

    return step, lambda: (model.count, held.tolist())


def annealing():
    model = Model()

    def step(x, i):
        beta = min(1.0, model.count / 4)
        model.count += 1
        return x.mul(beta), torch.tensor(beta), torch.full((2,), beta), torch.tensor([beta, 1.0]), x + round(beta, 1)

    return step, lambda: model.count


def more_inputs_than_at_first():
    def step(x, i):
        y = x
        for k in range(11):
            with contextlib.suppress(Exception):
                y = y * (i + k * 0.5) - (i * k)
        return y

    return step, tuple


def great_integers():
    model = Model()

    def step(x, i):
        model.count = (model.count + i) * 100_003
        return x * (model.count % 7)

    return step, lambda: model.count


class Meter:
    def __init__(self):
        self.last = self.sum = self.mean = 0.0
        self.n = 0

    def update(self, value, n):
        self.last = value
        self.sum += value * n
        self.n += n
        self.mean = self.sum / self.n


def items():
    (model, optimizer), meter = training(), Meter()

    def step(x, i):
        loss = learn(model, optimizer, x)
        meter.update(loss.item(), x.size(0))
        parts = {"where": x.argmax().item(), "any": ((x > 1.5).any().item(), x.sum().item() // 2)}
        return loss.item(), parts, meter.mean, round(loss.item(), 2), -math.sqrt(x.max().item()), 2 ** x.argmin().item()

    return step, lambda: vars(meter)


def items_of_other_types():
    def step(x, i):
        few = x.bfloat16().sum(), x.double().sum(), x.half().mean(), x.long().sum(), x[0, :1].int(), x[0, 0] > 2
        return [t.item() for t in few]

    return step, tuple


# How often each compiles at most: once, again when the argument varies, and for each outcome of a decision.
PROGRAMS = {
    counter_of_a_module: 2, counters_of_a_trainer: 3, rates_by_hand: 3, rates_after_the_step: 2, schedule_first: 2,
    rate_before_the_schedule: 3, a_global: 3, a_variable: 2, branches: 3, marks_and_the_best: 3, a_constant: 2,
    a_ring: 4, annealing: 7, more_inputs_than_at_first: 2, great_integers: 9, items: 2,
    items_of_other_types: 2,
}  # fmt: skip


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.dtype, plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def play(make, wrap=lambda f: f):
    function, state = make()
    function = wrap(function)
    found = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of")
        for i in CALLS:
            found.append((plain(function(torch.tensor([[1.0 + i, 2.0]]), i)), plain(state())))
    return found, function


def close(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6, nan_ok=True)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            close(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        close(list(a.values()), list(b.values()))
    else:
        assert a == b


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_eager_equals_compiled(make):
    expected, _ = play(make)
    found, compiled = play(make, lambda f: torch.compile(f, fullgraph=True))
    close(expected, found)
    assert torch.compile.explain(compiled).compiles <= PROGRAMS[make], torch.compile.explain(compiled)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 if x.sum().item() > 3 else x, lambda x: x * x.sum().item(), lambda x: f"{x.sum().item():.2f}",
        lambda x: x * float(x.sum()), lambda x: [1.0, 2.0, 3.0][x.argmax().item()], lambda x: x[: x.argmax().item()],
        lambda x: torch.func.vmap(lambda row: row * 2)(x) * int(x.sum().item()),
    ],
)  # fmt: skip
def test_items_that_are_needed_at_once_run_eagerly(function):
    compiled = torch.compile(function)
    with pytest.warns(UserWarning, match="test_host_numbers.py:.* needs a value that is known only"):
        found = [compiled(torch.tensor(v)) for v in ([1.0, 1.5], [3.0, 2.0])]
    close(plain([function(torch.tensor(v)) for v in ([1.0, 1.5], [3.0, 2.0])]), plain(found))


def test_a_formula_that_fails_after_the_program():
    model, optimizer = training()

    def step(x):
        return 1 / (learn(model, optimizer, x).detach() * 0).item()

    compiled = torch.compile(step, fullgraph=True)
    before = model.layer.weight.detach().clone()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            compiled(torch.ones(1, 2))
        assert not torch.equal(before, model.layer.weight)
        before = model.layer.weight.detach().clone()


def test_what_is_printed_is_printed_on_every_call(capsys):
    model = Model()

    def step(x):
        model.count += 1
        print("step", model.count, x.sum().item(), [1, "a"], sep=" / ", end=".\n")
        print("done")
        if model.count == 3:
            raise KeyError
        return x * 2

    compiled = torch.compile(step, fullgraph=True)
    for i in range(2):
        compiled(torch.full((2,), 1.5 + i))
    with pytest.raises(KeyError):
        compiled(torch.ones(2))
    print("outside")
    assert capsys.readouterr().out.splitlines() == [
        "step / 1 / 3.0 / [1, 'a'].", "done", "step / 2 / 5.0 / [1, 'a'].", "done",
        "step / 3 / 1.0 / [1, 'a'].", "done", "outside",
    ]  # fmt: skip


def test_explain_says_which_outcome():
    compiled = torch.compile(lambda x, options: x * 2 if options["step"] % 4 == 0 else x + 1)
    for i in range(8):
        compiled(torch.ones(1), {"step": i})
    assert repr(torch.compile.explain(compiled)).splitlines()[2:] == [
        "  2. argument[1]['step'] is 1 instead of 0", "  3. (argument[1]['step'] % 4) == 0 is True instead of False",
    ]  # fmt: skip


def test_a_call_that_fails_writes_nothing():
    model = Model()

    def step(x):
        model.count += 1
        if model.count == 3:
            raise KeyError("three")
        return x * model.count

    compiled = torch.compile(step, fullgraph=True)
    assert [compiled(torch.ones(1)).item() for _ in range(2)] == [1.0, 2.0]
    with pytest.raises(KeyError):
        compiled(torch.ones(1))
    assert model.count == 2


def test_numbers_in_other_functions_see_what_was_written():
    model = Model()

    def step(x):
        model.count += 1
        return x

    train, look = torch.compile(step, fullgraph=True), torch.compile(lambda x: x * model.count, fullgraph=True)
    for i in range(4):
        train(torch.ones(1))
        assert look(torch.ones(1)).item() == i + 1
    model.count = 10
    train(torch.ones(1))
    assert model.count == 11 and look(torch.ones(1)).item() == 11


def test_math_is_as_it_was():
    before = dict(vars(math))
    compiled = torch.compile(lambda x, k: x * math.sqrt(k) + math.gcd(int(k), 4), fullgraph=True)
    assert [compiled(torch.zeros(1), k).item() for k in (1.0, 4.0, 9.0)] == [1.0, 4.0, 1.0]
    assert vars(math) == before


def test_division_by_zero_raises_as_in_eager():
    compiled = torch.compile(lambda x, k: x * (1 / k), fullgraph=True)
    assert [compiled(torch.ones(1), k).item() for k in (1.0, 2.0, 4.0)] == [1.0, 0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        compiled(torch.ones(1), 0.0)


def test_results_that_change_their_type():
    compiled = torch.compile(lambda x, k: x * 2**k, fullgraph=True)
    for k in (1, 2, 3, -1, -2, 4):
        found, expected = compiled(torch.ones(2, dtype=torch.int64), k), torch.ones(2, dtype=torch.int64) * 2**k
        assert found.dtype is expected.dtype and found.tolist() == expected.tolist()
