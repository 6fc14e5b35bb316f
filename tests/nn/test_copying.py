"""Owns the tests of deep copies and pickles of modules, and of ``__setstate__`` for those of older versions.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy
import pickle

import pytest

import rushlight as torch
from rushlight import checkpoint, nn


class Block(nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.arange(float(size)))
        self.frozen = nn.Parameter(torch.ones(size), requires_grad=False)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.register_parameter("absent", None)
        self.notes = {"list": [1, 2]}

    def forward(self, x):
        return x * self.weight


def pickled(m):
    return pickle.loads(pickle.dumps(m))


BOTH = pytest.mark.parametrize("copied", [copy.deepcopy, pickled])


@BOTH
def test_everything_is_there_and_nothing_is_shared(copied):
    net = nn.Sequential(Block(), nn.Sequential(Block(3))).eval()
    other = copied(net)
    assert repr(other) == repr(net) and list(other.state_dict()) == list(net.state_dict())
    assert not any(m.training for m in other.modules())
    assert [p.requires_grad for p in other.parameters()] == [True, False, True, False]
    assert all(type(p) is nn.Parameter for p in other.parameters())
    assert other[0]._non_persistent_buffers_set == {"scratch"} and other[0].absent is None
    with torch.no_grad():
        for t in other.state_dict().values():
            t.fill_(9)
    other[0].notes["list"].append(3)
    other[0].extra = nn.Parameter(torch.ones(1))
    other.eval()[0].train()
    assert net[0].weight.tolist() == [0.0, 1.0] and net[0].mean.tolist() == [0.0, 0.0]
    assert net[0].notes == {"list": [1, 2]} and not hasattr(net[0], "extra") and not net[0].training


@BOTH
def test_what_is_shared_inside_stays_shared(copied):
    net = nn.Sequential(Block(), Block())
    net.again = net[0]
    net[1].weight = net[0].weight
    other = copied(net)
    assert other.again is other[0] and other[1].weight is other[0].weight
    assert len(list(other.parameters())) == 3


def test_gradients_are_not_copied():
    """A parameter's deep copy has no gradient in torch either."""
    m = Block()
    m(torch.ones(2)).sum().backward()
    other = copy.deepcopy(m)
    assert other.weight.grad is None and m.weight.grad is not None
    other(torch.ones(2)).sum().backward()
    assert m.weight.grad.tolist() == [1.0, 1.0]


def test_a_copy_trains_on_its_own():
    m = Block()
    other = copy.deepcopy(m)
    optimizer = torch.optim.SGD(other.parameters(), lr=1.0)
    other(torch.ones(2)).sum().backward()
    optimizer.step()
    assert other.weight.tolist() == [-1.0, 0.0] and m.weight.tolist() == [0.0, 1.0]


def test_a_shallow_copy_shares_the_tables():
    m = Block()
    other = copy.copy(m)
    assert other is not m and other.weight is m.weight and other._parameters is m._parameters


def test_buffers_that_are_views_of_one_tensor_stay_so():
    m = nn.Module()
    m.register_buffer("whole", torch.arange(4.0))
    m.register_buffer("start", m.whole[:2])
    other = copy.deepcopy(m)
    other.whole[0] = 9
    assert other.start.tolist() == [9.0, 1.0] and m.start.tolist() == [0.0, 1.0]


def test_a_tensor_with_a_history_is_refused():
    m = nn.Module()
    m.t = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(m)


def test_the_state_has_torchs_attributes():
    state = Block().__getstate__()
    for name in ("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
        assert name in state
    assert not any(name.startswith("_hooked") for name in state)


def test_setstate_fills_in_what_old_pickles_lack():
    m = Block.__new__(Block)
    m.__setstate__({"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}})
    assert m._non_persistent_buffers_set == set() and not m.training
    assert len(m._forward_hooks) == 0 and len(m._load_state_dict_post_hooks) == 0 and m._is_full_backward_hook is None
    m.register_forward_hook(lambda m, args, out: out + 1)
    m.weight = nn.Parameter(torch.ones(1))
    assert m(torch.ones(1)).item() == 2


def test_overriding_setstate():
    class Renamed(Block):
        def __setstate__(self, state):
            state = dict(state)
            state["_buffers"] = {"average": state["_buffers"]["mean"]}
            super().__setstate__(state)

    m = Renamed.__new__(Renamed)
    m.__setstate__(Block().__getstate__())
    assert list(m._buffers) == ["average"] and m(torch.ones(2)).tolist() == [0.0, 1.0]


def test_saved_whole_and_read_back(tmp_path):
    net = nn.Sequential(Block(), Block(3))
    torch.save(net, tmp_path / "net.pt")
    with checkpoint.safe_globals([Block]):
        other = torch.load(tmp_path / "net.pt", weights_only=False)
    assert repr(other) == repr(net) and other[0](torch.ones(2)).tolist() == [0.0, 1.0]
