"""Names and attributes that are looked up in several places: what turns up in one of them is seen by the next call."""

import time
from time import perf_counter

import pytest

import rushlight as torch
from rushlight import nn

from .twins import follows

ROUTES = {}


def route(make):
    """A function, and changes after each of which it gives something else."""
    ROUTES[make.__name__] = make
    return make


@route
def attributes_of_bases():
    class Base:
        k = 2.0

    class Derived(Base):
        pass

    held = Derived()
    return (
        lambda x: x * held.k, lambda: setattr(Base, "k", 3.0), lambda: setattr(Derived, "k", 5.0),
        lambda: setattr(held, "k", 7.0), lambda: delattr(held, "k"), lambda: delattr(Derived, "k"),
    )  # fmt: skip


@route
def attributes_that_are_not_there_at_first():
    class Empty:
        pass

    held = Empty()
    return (
        lambda x: x * (getattr(Empty, "k", 2.0) + getattr(held, "own", 1.0)), lambda: setattr(Empty, "k", 3.0),
        lambda: setattr(held, "own", 4.0),
    )  # fmt: skip


@route
def attributes_of_a_class_of_classes():
    class Meta(type):
        k = 2.0

    class Held(metaclass=Meta):
        pass

    return lambda x: x * Held.k, lambda: setattr(Meta, "k", 3.0)


@route
def attributes_by_a_fallback():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.options = nn.Linear(3, 3, bias=False), {"k": 2.0}
            nn.init.eye_(self.linear.weight)

        def __getattr__(self, name):
            options = self.__dict__["options"]
            return options[name] if name in options else super().__getattr__(name)

        def forward(self, x):
            return self.linear(x) * self.k

    model = Model()
    return (
        model,
        lambda: model.options.update(k=3.0),
        lambda: model.options.update(k=4.0),
        lambda: setattr(model, "k", 9.0),
    )


@route
def attributes_through_vars():
    model = nn.Identity()
    model.k = 2.0
    return (
        lambda x: model(x) * vars(model)["k"], lambda: setattr(model, "k", 3.0), lambda: setattr(model, "k", 4.0),
        lambda: setattr(model, "k", 5.0),
    )  # fmt: skip


@route
def a_variable_that_is_not_there_at_first():
    def read(x):
        try:
            return x * not_there_at_first
        except NameError:
            return x

    return read, lambda: globals().update(not_there_at_first=3.0), lambda: globals().pop("not_there_at_first")


@pytest.mark.parametrize("name", ROUTES)
def test_a_lookup_that_finds_something_else(name):
    plain, *changes = ROUTES[name]()
    follows(plain, changes)


@pytest.mark.parametrize("read", [lambda: time.time_ns(), lambda: perf_counter()], ids=["module", "name"])
def test_the_clock_is_read_by_every_call(read):
    kept = time.time, perf_counter
    compiled = torch.compile(lambda x: (x, read()))
    with pytest.warns(UserWarning, match="reads the clock"):
        first = compiled(torch.ones(1))[1]
    assert first < compiled(torch.ones(1))[1]
    assert kept == (time.time, perf_counter)


def test_the_forward_of_a_class_of_the_library_that_is_replaced(monkeypatch):
    model = nn.Sequential(nn.ReLU())
    compiled, x = torch.compile(model, fullgraph=True), torch.arange(3.0) - 1
    assert torch.equal(compiled(x), x.clamp(min=0))
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x * 3)
    assert torch.equal(compiled(x), x * 3)
