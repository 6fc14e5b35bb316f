"""What Python holds around a compiled function: variables, classes, objects, random streams, iterators, threads."""

import argparse
import collections
import dataclasses
import itertools
import random
import threading
import types

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


def numbers(rows=2):
    return torch.arange(3.0 * rows).reshape(rows, 3) - 2


def same(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=1e-6)


def follow(make, changes):
    """Apply each change, and compare the compiled function with the plain one after it."""
    plain, *held = make()
    compiled = torch.compile(plain, fullgraph=True)
    for change in (None, *changes):
        if change is not None:
            change(*held)
        same(compiled(numbers()), plain(numbers()))
    return torch.compile.explain(compiled).compiles


class Settings:
    scale = 2.0
    more = {"a": 1.0}


class Scaled(nn.Module):
    factor = 2.0

    def forward(self, x):
        return self.inner(x) * self.factor

    def inner(self, x):
        return x + Settings.scale


class Bag:
    def __init__(self):
        self.scale, self.parts, self.history = 2.0, [1.0, 2.0], []

    def __getitem__(self, place):
        return self.parts[place]

    def compute(self, x):
        return x * self.scale + self[0]


def setter(name, value):
    return lambda o: setattr(o, name, value)


def test_attributes_of_classes(monkeypatch):
    monkeypatch.setattr(Settings, "scale", 2.0)
    monkeypatch.setattr(Settings, "more", {"a": 1.0})
    monkeypatch.setattr(Scaled, "factor", 2.0)
    monkeypatch.setattr(Scaled, "inner", Scaled.inner)

    def make():
        model = Scaled()
        return (lambda x: model(x) * Settings.more["a"]), model

    changes = [
        lambda m: setattr(Settings, "scale", 3.0), lambda m: Settings.more.update(a=4.0),
        lambda m: setattr(Scaled, "factor", 5.0), lambda m: setattr(Scaled, "inner", lambda self, x: x * 7),
        setter("factor", 6.0), lambda m: delattr(m, "factor"), setter("forward", lambda x: x * 9),
    ]  # fmt: skip
    follow(make, changes)


def test_namespaces_modules_and_deques():
    def make():
        space = argparse.Namespace(k=2.0, deep=types.SimpleNamespace(z=[1, 2]))
        settings = types.ModuleType("settings")
        settings.k = 3.0
        window = collections.deque([1.0, 2.0], maxlen=2)
        chosen = {1.0}
        return (
            lambda x: x * space.k + space.deep.z[0] + settings.k * window[0] + sum(chosen),
            space, settings, window, chosen,
        )  # fmt: skip

    changes = [
        lambda s, *_: setattr(s, "k", 5.0), lambda s, *_: s.deep.z.__setitem__(0, 9),
        lambda s, m, *_: setattr(m, "k", 4.0), lambda s, m, w, c: w.append(7.0), lambda s, m, w, c: w.append(8.0),
        lambda s, m, w, c: (c.clear(), c.add(6.0)),
    ]  # fmt: skip
    follow(make, changes)


class Slotted:
    __slots__ = ("__hidden", "scale")

    def __init__(self):
        self.scale, self.__hidden = 2.0, 1.0

    def hide(self, value):
        self.__hidden = value

    def compute(self, x):
        return x * self.scale + self.__hidden


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    scale: float = 2.0


def test_objects_with_slots():
    def make():
        slotted, frozen = Slotted(), Frozen()
        return lambda x: slotted.compute(x) * frozen.scale, slotted, frozen

    changes = [
        lambda slotted, frozen: setattr(slotted, "scale", 3.0),
        lambda slotted, frozen: slotted.hide(4.0),
        lambda slotted, frozen: object.__setattr__(frozen, "scale", 5.0),
    ]
    follow(make, changes)


def test_defaults_and_attributes_of_tensors():
    def make():
        def scaled(x, by=2.0, *, plus=1.0):
            return x * by + plus

        weight = nn.Parameter(torch.ones(3))
        weight.gain, weight.settings = 2.0, types.SimpleNamespace(shift=1.0)
        return lambda x: scaled(x) * weight * weight.gain + weight.settings.shift, scaled, weight

    changes = [
        lambda scaled, weight: setattr(scaled, "__defaults__", (3.0,)),
        lambda scaled, weight: scaled.__kwdefaults__.update(plus=4.0),
        lambda scaled, weight: setattr(weight, "gain", 5.0),
        lambda scaled, weight: setattr(weight.settings, "shift", 6.0),
    ]
    follow(make, changes)


def test_what_a_function_does_not_read_does_not_compile_it_again():
    class Trainer:
        def __init__(self):
            self.model, self.bag, self.losses, self.best, self.scale = nn.Linear(3, 3), Bag(), [], None, 1.0

        def loss(self, x):
            return self.bag.compute(self.model(x)).sum() * self.scale

    trainer = Trainer()
    step = torch.compile(trainer.loss, fullgraph=True)
    for i in range(5):
        same(step(numbers()), trainer.loss(numbers()))
        trainer.losses.append(float(i))
        trainer.best = trainer.new = float(i)
        trainer.bag.history.append(i)
    assert torch.compile.explain(step).compiles == 1
    for change in (
        lambda: setattr(trainer, "scale", 4.0), lambda: trainer.bag.parts.__setitem__(0, 5.0),
        lambda: setattr(trainer.bag, "scale", 5.0), lambda: setattr(trainer, "bag", Bag()),
    ):  # fmt: skip
        change()
        same(step(numbers()), trainer.loss(numbers()))


def test_attributes_by_computed_names():
    space = types.SimpleNamespace(a0=2.0, a1=3.0)
    plain = lambda x: sum(x * getattr(space, f"a{i}") for i in range(2))  # noqa: E731
    compiled = torch.compile(plain)
    same(compiled(numbers()), plain(numbers()))
    space.a1 = 7.0
    same(compiled(numbers()), plain(numbers()))


def test_a_variable_that_becomes_another_tensor():
    weight = torch.ones(3)
    plain = lambda x: x * weight  # noqa: E731
    compiled = torch.compile(plain)
    same(compiled(numbers()), plain(numbers()))
    for weight in (torch.full((3,), 5.0), torch.full((3,), 2.0).double(), 3, 4.5, 5.5, torch.ones(3)):  # noqa: B007
        same(compiled(numbers()), plain(numbers()))


def test_a_number_that_becomes_something_else():
    class Plus(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = 2

        def forward(self, x):
            return x if self.k is None else x * self.k

    model = Plus()
    compiled = torch.compile(model)
    for value in (2, 3, 4, 4.5, 5.5, None, 7, True, torch.ones(3), 8):
        model.k = value
        same(compiled(numbers()), model(numbers()))


def test_batch_norm_without_momentum():
    eager, compiled = nn.BatchNorm1d(3), torch.compile(nn.BatchNorm1d(3))
    for momentum in (0.1, 0.5, 0.2, None, None, 0.3):
        for norm in (eager, compiled):
            norm.momentum = momentum
            norm(numbers())
        same(eager.running_mean, compiled.running_mean)


def test_a_buffer_of_another_dtype_where_the_function_replaces_it():
    class Average(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            self.mean = self.mean * 0.5 + x.mean(0)
            return self.mean

    eager, compiled = Average(), torch.compile(Average())
    for mean in (torch.zeros(3), torch.zeros(3, dtype=torch.float64), torch.ones(3)):
        eager.mean, compiled.mean = mean.clone(), mean.clone()
        for _ in range(2):
            a, b = eager(numbers()), compiled(numbers())
            assert a.dtype is b.dtype
            same(a, b)


def test_numbers_come_back_as_numbers():
    compiled = torch.compile(lambda x, k: (x, k, k * 2, [k / 4]))
    for k in (1, 2, 3, 1.5, 2.5, 3.5):
        _, same_one, twice, (quarter,) = compiled(numbers(), k)
        assert (same_one, twice, quarter) == (k, k * 2, k / 4)
        assert (type(same_one), type(twice), type(quarter)) == (type(k), type(k * 2), float)


def test_results_made_in_inference_mode():
    model = nn.Linear(3, 3)
    compiled = torch.compile(torch.inference_mode()(lambda x: model(x)))
    assert compiled(numbers()).is_inference() and compiled(numbers()).is_inference()


def draw_from(source):
    return lambda x: x * float(source())


def python_stream():
    random.seed(0)
    return draw_from(random.random)


def numpy_stream():
    np.random.seed(0)
    return draw_from(np.random.rand)


def pop_entry():
    held = [{"x": torch.ones(3), "k": float(i)} for i in range(4)]
    place = iter(range(4))
    return lambda x: x * held[0].pop("k", 5.0), lambda: next(place)


def cycling():
    source = itertools.cycle([1.0, 2.0, 3.0])
    return lambda x: x * next(source)


def from_loader():
    data = torch.utils.data.TensorDataset(torch.arange(12.0).reshape(4, 3))
    loader = torch.utils.data.DataLoader(data, shuffle=True, generator=torch.Generator().manual_seed(1))
    return lambda x: sum(x * batch for (batch,) in loader)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (python_stream, "Python's random"), (numpy_stream, "numpy's random"),
        (lambda: draw_from(random.Random(0).random), "Python's random"),
        (lambda: draw_from(np.random.default_rng(0).random), "numpy's random"),
        (lambda: pop_entry()[0], "taken out"), (cycling, "iterator"), (from_loader, "DataLoader is read"),
    ],
)  # fmt: skip
def test_what_moves_on_outside_runs_eagerly(make, says):
    plain = make()
    expected = [plain(numbers()) for _ in range(3)]
    compiled = torch.compile(make())
    with pytest.warns(UserWarning, match=says):
        found = [compiled(numbers())]
    found += [compiled(numbers()) for _ in range(2)]
    for a, b in zip(expected, found):
        same(a, b)


def test_generators_and_coroutines_run_eagerly():
    def twice(x):
        yield x
        yield x * 2

    compiled = torch.compile(twice)
    with pytest.warns(UserWarning, match="gives a generator"):
        assert len(list(compiled(numbers()))) == 2
    assert len(list(compiled(numbers()))) == 2


def test_a_generator_of_its_own_and_its_state():
    source = torch.Generator()
    draw = torch.compile(lambda x: x + torch.rand(3, generator=source), fullgraph=True)
    source.manual_seed(5)
    first, second = draw(numbers()), draw(numbers())
    assert not torch.equal(first, second)
    source.manual_seed(5)
    assert torch.equal(draw(numbers()), first)
    kept = source.get_state()
    again = draw(numbers())
    assert torch.equal(again, second)
    source.set_state(kept)
    assert torch.equal(draw(numbers()), second)


def test_the_state_of_the_default_generator_covers_compiled_draws():
    drop = torch.compile(nn.Dropout(0.5))
    drop(torch.ones(64))
    kept = torch.get_rng_state()
    first, second, plain = drop(torch.ones(64)), drop(torch.ones(64)), torch.rand(3)
    torch.set_rng_state(kept)
    assert torch.equal(drop(torch.ones(64)), first) and torch.equal(drop(torch.ones(64)), second)
    assert torch.equal(torch.rand(3), plain)


def test_a_dict_of_arguments_that_is_used_again():
    model = nn.Linear(3, 3)
    compiled = torch.compile(lambda batch: model(batch["x"]))
    batch = {}
    for i in range(4):
        batch["x"] = numbers() + i
        same(compiled(batch), model(batch["x"]))
    assert torch.compile.explain(compiled).compiles == 1


def test_threads():
    model = nn.Linear(3, 3)
    compiled = torch.compile(lambda x: model(x))
    failures, results = [], {}

    def work(i):
        try:
            for j in range(5):
                results[i, j] = compiled(numbers(1 + i % 3) + j)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for (i, j), found in results.items():
        same(found, model(numbers(1 + i % 3) + j))


def test_a_warning_points_at_the_call():
    class Signs(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    for plain in (Signs(), Signs().forward, lambda x: x if x.sum() > 0 else -x):
        compiled = torch.compile(plain)
        with pytest.warns(UserWarning, match=r"x\.sum\(\) > 0.*[^.]\.$") as seen:
            compiled(numbers())
        assert seen[0].filename == __file__


def test_a_seed_set_inside_is_set_on_every_call():
    def step(x):
        torch.manual_seed(42)
        return nn.functional.dropout(x, 0.5)

    compiled = torch.compile(step, fullgraph=True)
    first = None
    for seed in (1, 2):
        torch.manual_seed(seed)
        out = compiled(torch.ones(20))
        assert first is None or torch.equal(out, first)
        first = out
        assert torch.initial_seed() == 42
        after = torch.rand(3)
        torch.manual_seed(42)
        assert torch.equal(torch.rand(3), after)


@pytest.mark.parametrize("kind", [list, set, collections.deque])
def test_what_is_put_into_a_container_is_put_there_once(kind):
    held = kind([1.0])
    add = held.add if kind is set else held.append

    def step(x):
        add(2.0 + len(held))
        return x * sum(held)

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="outside the function is written"):
        same(compiled(torch.ones(2)), torch.full((2,), 4.0))
    assert held == kind([1.0, 3.0])
    same(compiled(torch.ones(2)), torch.full((2,), 8.0))
    assert held == kind([1.0, 3.0, 4.0])


def test_an_attribute_of_a_schedule_is_watched():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    compiled = torch.compile(lambda x: x * schedule.last_epoch)
    for epoch in range(4):
        same(compiled(torch.ones(1)), torch.full((1,), float(epoch)))
        optimizer.step()
        schedule.step()
    assert torch.compile.explain(compiled).compiles == 2


def test_a_set_whose_copy_has_another_order_was_not_written():
    held = {i * 8 for i in range(40)}
    for i in range(36):
        held.discard(i * 8)
    held.update((7, 15, 23))
    assert list(held) != list(held.copy())
    compiled = torch.compile(lambda x: x * len(held), fullgraph=True)
    same(compiled(torch.ones(1)), torch.full((1,), 7.0))
