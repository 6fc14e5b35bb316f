"""What a compiled function does to objects outside of it: noticed, put back, and done once by running eagerly."""

import collections
import contextlib

import pytest

import rushlight as torch
from rushlight import nn

X = torch.ones(2)


class Counter(nn.Module):
    """Takes what it is to do to itself."""

    def __init__(self, act):
        super().__init__()
        self.act, self.limit, self.label = act, float("nan"), "a"

    def forward(self, x):
        self.act(self)
        return x * 2


def swap(held):
    """Another value in the place of one, so that sizes stay."""
    if isinstance(held, dict):
        held.pop("a", None)
        held["b"] = 2.0
    elif isinstance(held, set):
        held.discard(1.0)
        held.add(2.0)
    else:
        held[0] = 2.0


@pytest.mark.parametrize("held", [[1.0], {1.0}, collections.deque([1.0]), {"a": 1.0}], ids=lambda h: type(h).__name__)
def test_a_container_that_keeps_its_size(held):
    expected = held.copy()
    swap(expected)

    def step(x):
        swap(held)
        return x * len(held)

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="written|taken out"):
        assert compiled(X).tolist() == [1.0, 1.0]
    assert held == expected


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("kind", [list, set, collections.deque, dict.fromkeys], ids=["list", "set", "deque", "dict"])
def test_a_failed_call_puts_containers_back(kind, clear):
    held = kind(["a", 1.0])
    before = held.copy()

    def step(x):
        swap(held)
        if clear:
            held.clear()
        raise KeyError("no")

    with pytest.raises(KeyError):
        torch.compile(step)(X)
    assert held == before


ACTIONS = {
    "label": lambda m: setattr(m, "label", "b"),
    "new": lambda m: setattr(m, "new", 1.0),
    "taken out": lambda m: m.__dict__.pop("label", None),
    "kind": lambda m: setattr(m, "label", 1),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_attributes_that_are_written_are_written(name):
    plain, model = Counter(ACTIONS[name]), Counter(ACTIONS[name])
    plain(X)
    with pytest.warns(UserWarning, match="taken out") if name == "taken out" else contextlib.nullcontext():
        torch.compile(model)(X)
    ours, theirs = ({k: v for k, v in m.__dict__.items() if k in ("label", "new")} for m in (model, plain))
    assert ours == theirs


def test_an_equal_value_is_not_written():
    same = {"limit": float("nan"), "label": "".join(["a"])}
    model = Counter(lambda m: m.__dict__.update(same))
    compiled = torch.compile(model, fullgraph=True)
    for _ in range(2):
        assert compiled(X).tolist() == [2.0, 2.0]


def test_a_value_of_another_type_is_another_value():
    model = Counter(lambda m: setattr(m, "label", True))
    model.label = 1
    torch.compile(model, fullgraph=True)(X)
    assert model.label is True


def test_a_tensor_with_a_history_is_not_kept():
    weight = nn.Parameter(torch.ones(2))
    model = Counter(lambda m: setattr(m, "last", weight * 3))
    with pytest.warns(UserWarning, match="'last' of .* is given a tensor with a history"):
        torch.compile(model)(X)
    model.last.sum().backward()
    assert weight.grad.tolist() == [3.0, 3.0]


def test_a_failed_call_puts_attributes_back():
    def act(m):
        m.label, m.new = "b", 1
        raise KeyError("no")

    model = Counter(act)
    with pytest.raises(KeyError):
        torch.compile(model)(X)
    assert model.label == "a" and not hasattr(model, "new")


def test_what_is_taken_out_while_something_is_put_in():
    def act(m):
        m.__dict__.pop("label", None)
        m.new = torch.ones(1)

    model = Counter(act)
    with pytest.warns(UserWarning, match="taken out"):
        torch.compile(model)(X)
    assert not hasattr(model, "label") and model.new.item() == 1
