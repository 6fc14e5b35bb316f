"""Objects that are arguments of compiled functions: batches made anew for every call compile once, and are written."""

import copy
import datetime
import decimal
import gc
import pathlib
import weakref
from dataclasses import dataclass, field
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn

from .twins import close


@dataclass
class Plain:
    x: torch.Tensor
    scale: float = 1.0
    name: str = "a"
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    scale: float = 1.0
    name: str = "a"
    extra: dict = field(default_factory=dict)


@dataclass(slots=True)
class Slotted:
    x: torch.Tensor
    scale: float = 1.0
    name: str = "a"
    extra: dict = field(default_factory=dict)


class Object:
    def __init__(self, x, scale=1.0, name="a", extra=None):
        self.x, self.scale, self.name, self.extra = x, scale, name, extra or {}


KINDS = [Plain, Frozen, Slotted, Object]


def held(value):
    """What a record holds, as a dict."""
    names = ("x", "scale", "name", "extra", "out", "parent", "inner")
    return {n: getattr(value, n) for n in names if hasattr(value, n)}


def read(b):
    return b.x * b.scale * (3 if b.name == "b" else 1) * b.extra.get("k", 1)


def inner(b):
    return [read(v) for v in b]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_object_for_every_call_compiles_once(kind):
    run = torch.compile(read, fullgraph=True)
    for n in range(6):
        b = kind(torch.full((2,), n + 1.0))
        assert torch.equal(run(b), read(b))
    assert torch.compile.explain(run).compiles == 1
    for n in range(6):
        b = kind(torch.full((2,), n + 1.0), n + 2.0, "ab"[n % 2], {"k": torch.ones(2) * n})
        assert torch.equal(run(b), read(b))
    assert torch.compile.explain(run).compiles <= 5


@pytest.mark.parametrize("kind", KINDS)
def test_one_object_that_changes(kind):
    run, b = torch.compile(read, fullgraph=True), kind(torch.ones(2))
    for n in range(6):
        object.__setattr__(b, "x", torch.full((2,), n + 1.0))
        if n > 2:
            object.__setattr__(b, "scale", n / 2)
        if n == 5:
            object.__setattr__(b, "name", "b")
        assert torch.equal(run(b), read(b)), n
    assert torch.compile.explain(run).compiles <= 3


@pytest.mark.parametrize("kind", [Plain, Slotted, Object])
def test_what_is_written_into_it(kind):
    def step(b, again):
        b.x = b.x * 2
        b.extra["h"] = b.x[0]
        b.name = b.name + "b"
        again.x.add_(1)
        return b

    run = torch.compile(step, fullgraph=True)
    for n in range(4):
        results = []
        for function in (run, step):
            b, again = kind(torch.ones(2) * n), kind(torch.ones(3))
            result = function(b, again if n % 2 else b)
            assert result is b
            results.append((held(b), held(again)))
            b.x.mul_(2)
            assert b.extra["h"].item() == b.x[0].item()
        close(*results)
    assert torch.compile.explain(run).compiles == 2


def test_records_in_records_and_circles():
    @dataclass
    class Node:
        x: Any
        parent: Any = None
        children: list = field(default_factory=list)

    def tree(n):
        root = Node(torch.full((2,), n + 1.0))
        root.children = [Node(torch.ones(2) * i * n, root) for i in range(2)]
        root.parent = root
        return root

    def step(root, other):
        total = sum(c.x * c.parent.x for c in root.children) * (2 if root is other else 1)
        root.children.append(Node(total))
        return total

    run = torch.compile(step, fullgraph=True)
    for n in range(6):
        one, two = tree(n), tree(n)
        assert torch.equal(run(one, one if n % 2 else tree(n)), step(two, two if n % 2 else tree(n)))
        assert len(one.children) == 3 and torch.equal(one.children[2].x, two.children[2].x)
    assert torch.compile.explain(run).compiles == 2


def test_numbers_in_records():
    def step(b):
        b.scale += 1
        return b.x * b.scale

    run = torch.compile(step)
    for make in (Plain, Slotted, Object):
        for n in range(5):
            one, two = make(torch.ones(2), float(n)), make(torch.ones(2), float(n))
            assert torch.equal(run(one), step(two)) and one.scale == two.scale and type(one.scale) is float


def test_an_object_that_the_function_refers_to_as_well():
    known = Plain(torch.ones(2))

    def step(b):
        b.x = b.x * 2
        return known.x + 0

    run = torch.compile(step)
    for n in range(4):
        results = []
        for function in (run, step):
            known.x = torch.ones(2)
            b = known if n % 2 else Plain(torch.ones(2) * 5)
            results.append((function(b).tolist(), b.x.tolist(), known.x.tolist()))
        assert results[0] == results[1]


def test_gradients_through_a_record():
    model, grads = nn.Linear(2, 1), []

    def step(b):
        return (model(b.x) * b.extra["w"]).sum()

    for run in (torch.compile(step, fullgraph=True), step):
        for n in range(3):
            w = torch.ones(1, requires_grad=True)
            run(Plain(torch.ones(3, 2) * n, extra={"w": w * 2})).backward()
            grads.append((w.grad.tolist(), model.weight.grad.tolist()))
            model.zero_grad()
    assert grads[:3] == grads[3:]


def test_a_class_that_asks_before_it_lets_write():
    class Guarded:
        def __init__(self, x):
            object.__setattr__(self, "x", x)

        def __setattr__(self, name, value):
            raise AttributeError("no")

    run = torch.compile(lambda b: b.x * 2, fullgraph=True)
    assert [run(Guarded(torch.ones(()) * n)).item() for n in range(3)] == [0.0, 2.0, 4.0]
    with pytest.raises(AttributeError, match="no"):
        torch.compile(lambda b: setattr(b, "x", 1))(Guarded(torch.ones(2)))


def test_copies_of_settings_compile_once_more():
    @dataclass
    class Settings:
        depth: int = 2

    run = torch.compile(lambda x, s: x * s.depth, fullgraph=True)
    first = Settings()
    for n in range(5):
        assert run(torch.ones(()), copy.copy(first) if n else first).item() == 2.0
    assert torch.compile.explain(run).compiles == 2


@pytest.mark.parametrize("make", [
    lambda n: datetime.timedelta(days=n), lambda n: decimal.Decimal(n), range, lambda n: pathlib.Path("a" * n),
], ids=["timedelta", "Decimal", "range", "Path"])  # fmt: skip
def test_values_that_do_not_change_are_compared_by_what_they_are(make):
    run = torch.compile(lambda x, v: x * len(str(v)), fullgraph=True)
    for n in (1, 2, 1, 2, 15, 1):
        assert run(torch.ones(()), make(n)).item() == len(str(make(n)))
    assert torch.compile.explain(run).compiles == 3


@pytest.mark.parametrize(
    "make", [Plain, lambda x: {"x": x}, lambda x: [x], lambda x: x], ids=["record", "dict", "list", "tensor"]
)
def test_the_arguments_of_the_first_call_are_let_go(make):
    run = torch.compile(
        lambda b: torch.stack([b.x if isinstance(b, Plain) else b["x"] if isinstance(b, dict) else b[0]])
    )
    seen = []
    for _ in range(2):
        x = torch.ones(3, 2)
        seen.append(weakref.ref(x))
        run(make(x))
    del x
    gc.collect()
    assert [r() for r in seen] == [None, None]
