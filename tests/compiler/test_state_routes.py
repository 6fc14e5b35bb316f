"""Python's values on the way into a compiled function, by any route: what changes there is seen by the next call."""

import array
import collections
import contextvars
import dataclasses
import functools
import operator
import os
import sys
import threading
import types
import weakref

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn

from .twins import follows

ROUTES = {}
factor = 2.0
read_factor = operator.attrgetter("factor")


def route(make):
    """A function, and changes after each of which it gives something else."""
    ROUTES[make.__name__] = make
    return make


class Bag:
    def __init__(self, **values):
        self.__dict__.update(values)


class Holder(nn.Module):
    """Multiplies by what it makes of what it holds."""

    def __init__(self, held, value):
        super().__init__()
        self.held, self.value = held, value

    def forward(self, x):
        return x * self.value(self.held)


def in_both(held, value):
    """Held by a module, and by a variable."""
    model = Holder(held, value)
    return lambda x: model(x) + x * value(held)


@dataclasses.dataclass
class Config:
    scale: float = 2.0
    shift: float = 1.0


@route
def numpy_array():
    held = np.ones(3)
    return in_both(held, lambda h: float(h[1])), lambda: held.__setitem__(1, 4.0), lambda: held.__iadd__(1)


@route
def numpy_array_in_a_list_of_an_object():
    held = Bag(parts=[np.ones(2)])
    return in_both(held, lambda h: float(h.parts[0].sum())), lambda: held.parts[0].__setitem__(1, 4.0)


@route
def bytes_and_arrays():
    held, numbers = bytearray(b"\x01\x02"), array.array("d", [1.0, 2.0])
    make = in_both([held, numbers], lambda h: h[0][0] * h[1][1])
    return make, lambda: held.__setitem__(0, 9), lambda: numbers.__setitem__(1, 7.0)


@route
def a_deque():
    held = collections.deque([1.0, 2.0], maxlen=2)
    return in_both(held, lambda h: h[0]), lambda: held.append(4.0), lambda: held.append(5.0)


@route
def collections_of_many_kinds():
    held = Bag(
        counter=collections.Counter(a=2), ordered=collections.OrderedDict(a=1.0, b=2.0), set={1.0, 2.0},
        chain=collections.ChainMap({"z": 1.0}), of_user=collections.UserDict(a=1.0),
        list_of_user=collections.UserList([1.0]),
    )  # fmt: skip
    value = lambda h: (  # noqa: E731
        h.counter["a"] + next(iter(h.ordered.values())) * h.chain["z"] + sum(h.set) + h.of_user["a"] * h.list_of_user[0]
    )
    return (
        in_both(held, value), lambda: held.counter.update(a=1), lambda: held.ordered.move_to_end("a"),
        lambda: held.chain.maps[0].update(z=5.0), lambda: (held.set.discard(1.0), held.set.add(9.0)),
        lambda: held.of_user.update(a=7.0), lambda: held.list_of_user.__setitem__(0, 3.0),
    )  # fmt: skip


@route
def deep_inside():
    held = {"a": Bag(b={"c": [Bag(d={"e": 2.0})]})}
    return in_both(held, lambda h: h["a"].b["c"][0].d["e"]), lambda: held["a"].b["c"][0].d.update(e=3.0)


class Scale:
    def __init__(self):
        self.by, self.parts = 1.0, [1.0, {"a": 2.0}]

    def __call__(self, x):
        return x * self.by + self.parts[0] * self.parts[1]["a"]


@route
def an_object_that_is_called():
    held = Scale()
    return (
        in_both(held, lambda h: h(2.0)), lambda: setattr(held, "by", 3.0), lambda: held.parts.__setitem__(0, 9.0),
        lambda: held.parts[1].update(a=5.0),
    )  # fmt: skip


@route
def a_partial():
    inner = {"k": 2.0}
    held = functools.partial(lambda x, k, inner: x * k * inner["k"], k=3.0, inner=inner)
    return in_both(held, lambda h: h(1.0)), lambda: inner.update(k=5.0), lambda: held.keywords.update(k=7.0)


@route
def weak_references():
    held = Bag(k=2.0)
    kept, found = weakref.ref(held), weakref.WeakValueDictionary(a=held)
    proxy, other = weakref.proxy(held), Bag(k=9.0)
    return (
        lambda x: x * kept().k + found["a"].k * 10 + proxy.k, lambda: setattr(held, "k", 3.0),
        lambda: found.update(a=other),
    )  # fmt: skip


@route
def views_of_dicts():
    held = {"k": 2.0}
    view, values = types.MappingProxyType(held), held.values()
    return lambda x: x * view["k"] + sum(values), lambda: held.update(k=3.0)


@route
def variables_of_contexts_and_threads():
    context, thread = contextvars.ContextVar("context", default=1.0), threading.local()
    thread.k = 2.0
    return lambda x: x * context.get() + thread.k, lambda: context.set(4.0), lambda: setattr(thread, "k", 5.0)


@route
def the_environment():
    os.environ.pop("SCALE", None)
    read = lambda x: x * float(os.environ.get("SCALE", "1")) + float(os.getenv("SCALE", "2"))  # noqa: E731
    return read, lambda: os.environ.update(SCALE="5"), lambda: os.environ.pop("SCALE")


class Chosen:
    scale = 2.0


@route
def classes_and_modules_of_python_in_containers():
    Chosen.scale = 2.0
    settings = types.ModuleType("settings")
    settings.k, settings.call = 2.0, lambda x: x * 2
    held = {"class": Chosen, "module": settings}
    value = lambda h: h["class"].scale * h["module"].call(h["module"].k)  # noqa: E731
    return (
        in_both(held, value), lambda: setattr(Chosen, "scale", 3.0), lambda: setattr(settings, "k", 4.0),
        lambda: setattr(settings, "call", lambda x: x * 7),
    )  # fmt: skip


@route
def imports_inside():
    settings = sys.modules["settings_of_a_test"] = types.ModuleType("settings_of_a_test")
    settings.k = 2.0

    def read(x):
        import settings_of_a_test
        from settings_of_a_test import k

        return x * settings_of_a_test.k + k + sys.modules["settings_of_a_test"].k

    return read, lambda: setattr(settings, "k", 3.0)


def set_factor(value):
    globals()["factor"] = value


@route
def variables_by_text():
    set_factor(2.0)
    return lambda x: x * globals()["factor"] + eval("factor"), lambda: set_factor(3.0)


class Helper:
    def __init__(self, x):
        self.x = x * factor

    def __mul__(self, other):
        return self.x * other * factor

    def __enter__(self):
        return factor

    def __exit__(self, *error):
        pass


@route
def objects_made_inside():
    set_factor(2.0)

    def read(x):
        with Helper(x) as k:
            return Helper(x) * 2 + k

    return read, lambda: set_factor(3.0)


@route
def attributes_by_a_getter():
    held = Bag(factor=2.0)
    return lambda x: x * read_factor(held), lambda: setattr(held, "factor", 3.0)


@route
def fields_of_dataclasses():
    held = Config()

    def read(x):
        match held:
            case Config(scale=by):
                return x * by + list(dataclasses.asdict(held).values())[1]

    return read, lambda: setattr(held, "scale", 3.0), lambda: setattr(held, "shift", 5.0)


@route
def long_lists_and_sets():
    held, members = [float(i) for i in range(2000)], set(range(2000))
    return (
        lambda x: x * held[5] + (1 if 5 in members else 2), lambda: held.__setitem__(5, 77.0),
        lambda: held.sort(reverse=True), lambda: (members.discard(5), members.add(-1)),
    )  # fmt: skip


@route
def functions_in_a_list():
    held = [lambda x: x * 2]

    def replace(k):
        held[0] = None  # the next may get the same address
        held[0] = lambda x: x * k

    return in_both(held, lambda h: h[0](1.0)), *[functools.partial(replace, k) for k in (3, 4, 5)]


@route
def types_of_numbers_in_tuples():
    held = Bag(pair=(1, 2))
    return (
        lambda x: x.long() * held.pair[0] + held.pair[1], lambda: setattr(held, "pair", (1.0, 2.0)),
        lambda: setattr(held, "pair", (True, 2)),
    )  # fmt: skip


@route
def signs_of_zeros():
    held = Bag(k=0.0)
    return lambda x: (x + 9) / torch.tensor(held.k), lambda: setattr(held, "k", -0.0)


@route
def attributes_past_setattr():
    model = Holder(2.0, lambda held: held)
    return (
        lambda x: model(x), lambda: model.__dict__.update(held=3.0), lambda: object.__setattr__(model, "held", 5.0),
        lambda: model.__dict__.update(forward=lambda x: x * 9), lambda: model.__dict__.pop("forward"),
    )  # fmt: skip


class Twice(nn.Module):
    def forward(self, x):
        return x * 2


class Thrice(Twice):
    def forward(self, x):
        return x * 3


class Plus:
    def go(self, x):
        return x + 2


class More(Plus):
    def go(self, x):
        return x + 3


@route
def classes_of_objects():
    model, held = Twice(), Plus()
    return (
        lambda x: held.go(model(x)), lambda: setattr(model, "__class__", Thrice),
        lambda: setattr(held, "__class__", More),
    )  # fmt: skip


@route
def code_and_attributes_of_functions():
    def inner(x):
        return x * 2

    def outer(x):
        return inner(x) * outer.k

    outer.k = 2.0
    return (
        outer, lambda: setattr(outer, "k", 3.0), lambda: setattr(inner, "__code__", (lambda x: x * 9).__code__)
    )  # fmt: skip


@route
def names_of_the_library():
    model, kept, sine = nn.ReLU(), nn.functional.relu, torch.sin
    torch.Tensor.of_a_test = lambda x: x * 2

    def replace():
        nn.functional.relu = lambda x, inplace=False: x * 100

    def put_back():
        nn.functional.relu = kept
        torch.sin = lambda x: x * 7

    def both():
        torch.sin = sine
        torch.set_float32_matmul_precision("high")

    def none():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.benchmark = True

    def last():
        torch.backends.cudnn.benchmark = False
        torch.Tensor.of_a_test = lambda x: x * 3

    def read(x):
        out = model(x) + torch.sin(x) * len(torch.get_float32_matmul_precision()) + x.of_a_test()
        return out * (5 if torch.backends.cudnn.benchmark else 2)

    return read, replace, put_back, both, none, last


@pytest.mark.parametrize("name", ROUTES)
def test_a_value_that_changes(name):
    plain, *changes = ROUTES[name]()
    follows(plain, changes)


def test_a_hook_in_the_place_of_another():
    model = nn.Linear(3, 3)

    def step(x):
        model.zero_grad()
        model(x).sum().backward()
        return model.weight.grad.clone()

    compiled = torch.compile(step)
    x = torch.arange(3.0) + 1
    for register in (model.weight.register_hook, lambda f: model.register_forward_hook(lambda m, a, out: f(out))):
        for k in (2.0, 3.0, 4.0, 5.0):
            handle = register(lambda value, k=k: value * k)
            assert torch.equal(compiled(x), step(x))
            handle.remove()
            del handle


@pytest.mark.parametrize("kind", ["module", "property", "object", "dict"])
def test_what_is_made_once_is_not_made_again(kind):
    weight = torch.ones(3)

    class Lazy(nn.Module):
        made = None

        def forward(self, x):
            if self.made is None:
                self.made = weight * 2
            return x * self.made

    class Cached(nn.Module):
        @functools.cached_property
        def made(self):
            return weight * 2

        def forward(self, x):
            return x * self.made

    if kind in ("module", "property"):
        held = plain = Lazy() if kind == "module" else Cached()
    elif kind == "object":
        held = Bag(made=None)
        plain = functools.partial(Lazy.forward, held)
    else:
        held = {}

        def plain(x):
            if "made" not in held:
                held["made"] = weight * 2
            return x * held["made"]

    compiled = torch.compile(plain, fullgraph=True)
    assert compiled(torch.ones(3)).tolist() == [2.0] * 3
    weight.mul_(5)
    assert [compiled(torch.ones(3)).tolist() for _ in range(2)] == [[2.0] * 3] * 2
    if kind == "dict":
        held.clear()
    elif kind == "property":
        del held.made
    else:
        held.made = None
    assert compiled(torch.ones(3)).tolist() == [10.0] * 3


def test_what_a_cache_of_a_function_holds():
    @functools.lru_cache
    def table(n):
        return torch.arange(float(n)) + 1

    compiled = torch.compile(lambda x: x * table(3))
    assert [compiled(torch.ones(3)).tolist() for _ in range(3)] == [[1.0, 2.0, 3.0]] * 3
    assert table(3).tolist() == [1.0, 2.0, 3.0]
    table(3).mul_(2)
    assert compiled(torch.ones(3)).tolist() == [2.0, 4.0, 6.0]
    table.cache_clear()
    assert compiled(torch.ones(3)).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("where", ["module", "object", "list"])
def test_an_iterator_that_is_held(where):
    def make():
        source = iter([1.0, 2.0, 3.0, 4.0])
        if where == "module":
            return Holder(source, next)
        if where == "object":
            held = Bag(source=source)
            return lambda x: x * next(held.source)
        held = [source]
        return lambda x: x * next(held[0])

    compiled = torch.compile(make())
    with pytest.warns(UserWarning, match="iterator"):
        found = [compiled(torch.ones(1)).item()]
    assert found + [compiled(torch.ones(1)).item() for _ in range(2)] == [1.0, 2.0, 3.0]


def test_what_is_written_into_an_array_is_written_once_for_every_call():
    held = np.zeros(2)

    def step(x):
        held[0] += 1
        return x * float(held[0])

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="ndarray outside the function is written"):
        found = [compiled(torch.ones(1)).item()]
    assert found + [compiled(torch.ones(1)).item() for _ in range(2)] == [1.0, 2.0, 3.0]
