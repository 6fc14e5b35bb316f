"""Owns the tests of walking over a module: in what order, how lazily, by what names; and of what acts on all of it.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import types

import pytest
from module_programs import small, tree

import rushlight as torch
from rushlight import nn

Small = small(torch)

EVERY = ["", "0", "1", "1.0", "1.1", "named", "named.a"]
WEIGHTS = ["0.weight", "0.bias", "1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias", "named.a.weight", "named.a.bias"]
MEANS = ["0.mean", "0.scratch", "1.0.mean", "1.0.scratch", "1.1.mean", "1.1.scratch", "named.a.mean", "named.a.scratch"]


def names(pairs):
    return [name for name, _ in pairs]


def test_order_and_names():
    net = tree(torch)
    assert names(net.named_modules()) == EVERY
    assert names(net.named_parameters()) == WEIGHTS
    assert names(net.named_buffers()) == MEANS
    assert names(net.named_children()) == ["0", "1", "named"]
    assert [id(m) for m in net.modules()] == [id(m) for _, m in net.named_modules()]
    assert [id(m) for m in net.children()] == [id(m) for _, m in net.named_children()]
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [id(b) for b in net.buffers()] == [id(b) for _, b in net.named_buffers()]


def test_prefix():
    net = tree(torch)
    assert names(net.named_modules(prefix="p")) == ["p", *(f"p.{n}" for n in EVERY[1:])]
    assert names(net.named_parameters(prefix="p")) == [f"p.{n}" for n in WEIGHTS]
    assert names(net.named_buffers("p")) == [f"p.{n}" for n in MEANS]


def test_recurse():
    net = tree(torch)
    net.own = nn.Parameter(torch.ones(1))
    net.register_buffer("count", torch.zeros(1))
    assert names(net.named_parameters(recurse=False)) == ["own"] and len(list(net.parameters(False))) == 1
    assert names(net.named_buffers(recurse=False)) == ["count"] and len(list(net.buffers(recurse=False))) == 1
    assert names(net.named_parameters(prefix="p", recurse=False)) == ["p.own"]


def test_remove_duplicate():
    net = tree(torch)
    assert names(net.named_modules(remove_duplicate=False)) == [*EVERY, "named.b"]
    assert names(net.named_parameters(remove_duplicate=False)) == [*WEIGHTS, "named.b.weight", "named.b.bias"]
    assert names(net.named_buffers(remove_duplicate=False)) == [*MEANS, "named.b.mean", "named.b.scratch"]
    assert len(list(net.modules(remove_duplicate=False))) == 8


def test_a_module_reached_twice_is_in_state_dict_twice_and_in_named_parameters_once():
    net = nn.Module()
    net.first = Small()
    net.second = net.first
    assert names(net.named_parameters()) == ["first.weight", "first.bias"]
    assert names(net.named_children()) == ["first"]
    assert list(net.state_dict()) == [f"{a}.{b}" for a in ("first", "second") for b in ("weight", "bias", "mean")]


def test_a_parameter_reached_twice():
    net = nn.Sequential(Small(), Small())
    net[1].weight = net[0].weight
    assert names(net.named_parameters()) == ["0.weight", "0.bias", "1.bias"]
    assert "1.weight" in net.state_dict()


def test_memo():
    net = tree(torch)
    memo = {net[1]}
    assert names(net.named_modules(memo)) == ["", "0", "named", "named.a"]
    assert len(memo) == 5


def test_all_are_generators():
    net = tree(torch)
    for walk in (
        net.parameters, net.named_parameters, net.buffers, net.named_buffers, net.children, net.named_children,
        net.modules, net.named_modules,
    ):  # fmt: skip
        assert isinstance(walk(), types.GeneratorType)


def test_next_until_stop_iteration():
    walk = nn.Sequential(Small()).named_parameters()
    assert next(walk)[0] == "0.weight"
    assert next(walk)[0] == "0.bias"
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(walk)


def test_a_walk_is_lazy():
    """What changes below a module before the walk goes there is seen, as in torch."""
    net = nn.Sequential(Small(), nn.Sequential(Small()))
    walk = net.named_modules()
    assert names([next(walk), next(walk), next(walk)]) == ["", "0", "1"]
    net[1].append(Small())
    net[1][0].inner = Small()
    assert names(walk) == ["1.0", "1.0.inner", "1.1"]


def test_structure_that_changes_between_walks_is_seen_at_every_depth():
    net = nn.Sequential(nn.Sequential(nn.Sequential(Small())))
    assert len(list(net.parameters())) == 2
    deep = net[0][0]
    deep.append(Small())
    assert len(list(net.parameters())) == 4
    deep[0].extra = nn.Parameter(torch.ones(1))
    assert len(list(net.parameters())) == 5
    deep[0]._parameters["more"] = nn.Parameter(torch.ones(1))
    assert len(list(net.parameters())) == 6
    deep._modules.pop("1")
    assert names(net.named_parameters())[-1] == "0.0.0.more"
    del deep[0].extra, deep[0].more
    deep[0].weight = nn.Parameter(torch.zeros(7))
    assert [p.shape for p in net.parameters()] == [(7,), (2,)]
    deep[0].weight = None
    assert names(net.named_parameters()) == ["0.0.0.bias"]


def test_a_dict_that_grows_under_the_walk_is_an_error():
    net = nn.Sequential(Small())
    with pytest.raises(RuntimeError, match="dictionary changed size during iteration"):
        for _ in net.named_children():
            net.add_module("new", Small())


def test_get_by_path():
    net = tree(torch)
    assert net.get_submodule("") is net and net.get_submodule("named.a") is net.named["a"]
    assert net.get_parameter("1.0.weight") is net[1][0].weight
    assert net.get_buffer("named.b.mean") is net[0].mean


@pytest.mark.parametrize("call, text", [
    (lambda net: net.get_submodule("1.7"), "Sequential has no attribute `7`"),
    (lambda net: net.get_submodule("0.weight"), "`weight` is not an nn.Module"),
    (lambda net: net.get_submodule("no.way"), "Sequential has no attribute `no`"),
    (lambda net: net.get_parameter("0.size"), "`size` is not an nn.Parameter"),
    (lambda net: net.get_parameter("0.mean"), "`mean` is not an nn.Parameter"),
    (lambda net: net.get_parameter("0.x"), "Small has no attribute `x`"),
    (lambda net: net.get_buffer("0.weight"), "`weight` is not a buffer"),
    (lambda net: net.get_buffer("0.x"), "Small has no attribute `x`"),
])  # fmt: skip
def test_paths_that_lead_nowhere(call, text):
    with pytest.raises(AttributeError) as caught:
        call(tree(torch))
    assert str(caught.value) == text


def test_set_submodule():
    net = tree(torch)
    new = nn.Sequential()
    net.set_submodule("named.a", new)
    assert net.named["a"] is new
    net.set_submodule("1.fresh", new)
    assert net[1].fresh is new
    net.set_submodule("1.0", new, strict=True)
    assert net[1][0] is new
    with pytest.raises(AttributeError, match="Sequential has no attribute `gone`"):
        net.set_submodule("1.gone", new, strict=True)
    with pytest.raises(AttributeError, match=r"`weight` is not an nn.Module"):
        net.set_submodule("0.weight", new)
    with pytest.raises(ValueError, match="Cannot set the submodule without a target name"):
        net.set_submodule("", new)
    with pytest.raises(ValueError, match=r"`module` is not an nn.Module, found <class 'int'>"):
        net.set_submodule("0", 3)


def test_apply_goes_children_first_and_returns_the_module():
    net, order = tree(torch), []
    assert net.apply(order.append) is net
    assert [type(m).__name__ for m in order] == [
        "Small", "Small", "Small", "Sequential", "Small", "Small", "ModuleDict", "Sequential",
    ]  # fmt: skip
    assert order[-1] is net and order[0] is order[5]


def test_apply_sees_overrides_and_modules_that_fn_replaces():
    class Own(nn.Sequential):
        def apply(self, fn):
            fn("own")
            return super().apply(fn)

    seen = []
    nn.Sequential(Own(Small())).apply(lambda m: seen.append(m if m == "own" else type(m).__name__))
    assert seen == ["own", "Small", "Own", "Sequential"]


def test_train_and_eval():
    net = tree(torch)
    assert net.training and net.eval() is net and not any(m.training for m in net.modules())
    assert net[1].train() is net[1] and [m.training for m in net.modules()] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    net.train(False)
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)


def test_train_calls_what_a_child_overrides():
    class Frozen(nn.Module):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(Frozen(), Small())
    assert [m.training for m in net.train().modules()] == [True, False, True]


def test_eval_goes_through_train():
    class Counted(nn.Module):
        calls = 0

        def train(self, mode=True):
            Counted.calls += 1
            return super().train(mode)

    nn.Sequential(Counted()).eval()
    assert Counted.calls == 1


def test_requires_grad():
    net = tree(torch)
    assert net.requires_grad_(False) is net and not any(p.requires_grad for p in net.parameters())
    net[0].requires_grad_()
    assert [p.requires_grad for p in net.parameters()] == [True, True, *[False] * 6]


def test_zero_grad():
    m = Small()
    m(torch.ones(2)).sum().backward()
    weight = m.weight.grad
    m.zero_grad(set_to_none=False)
    assert m.weight.grad is weight and weight.tolist() == [0.0, 0.0]
    m.zero_grad()
    assert m.weight.grad is None and m.bias.grad is None
    m.zero_grad()


def test_zero_grad_forgets_a_gradients_history():
    m = Small()
    out = (m(torch.ones(2)) ** 3).sum()
    out.backward(create_graph=True)
    grad = m.weight.grad
    assert grad.grad_fn is not None
    m.zero_grad(set_to_none=False)
    assert m.weight.grad is grad and grad.grad_fn is None and not grad.requires_grad


def test_zero_grad_takes_what_parameters_gives():
    """A subclass that hides parameters keeps their gradients too, as in torch."""

    class Partial(nn.Sequential):
        def named_parameters(self, *args, **kwargs):
            return (pair for pair in super().named_parameters(*args, **kwargs) if "bias" in pair[0])

    net = Partial(Small())
    net(torch.ones(2)).sum().backward()
    net.zero_grad()
    assert net[0].bias.grad is None and net[0].weight.grad is not None
    assert len(list(net.parameters())) == 1


def test_training_is_an_attribute_from_the_start():
    assert nn.Module().training is True and "training" in nn.Module().__dict__
