"""Loading, saving and switching of modules that are plain goes a short way: nothing that has a say is passed over."""

from collections import OrderedDict

import pytest

import rushlight as torch
from rushlight import nn
from rushlight._hooks import changes
from rushlight._tensor.storage import Storage
from rushlight.nn.modules import _quick_load
from rushlight.nn.modules._state_dict import StateDict


def model():
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.Linear(2, 3)))


def read(m):
    """The state of a model, read: initial values that nobody has read are left to the long way."""
    state = m.state_dict()
    for value in state.values():
        value.numpy()
    return state


def plan(m, state):
    return _quick_load.plan(m, state, StateDict.set_extra_state)


def same(m, state):
    return all(torch.equal(v, state[k]) for k, v in m.state_dict().items())


def test_goes_the_short_way_where_all_fits():
    a, b = model(), model()
    state = read(b)
    assert len(plan(a, state)) == len(state) == 9
    result = a.load_state_dict(state)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert same(a, state)
    a[0].weight.data.fill_(7.0)
    assert not torch.equal(a[0].weight, b[0].weight)  # contents were copied, not shared


def test_counts_a_load_as_a_write():
    a = model()
    weight, state = a[0].weight, read(a)
    before = weight._version
    a.load_state_dict(state)
    assert a[0].weight is weight and weight._version == before + 1


class Own(nn.Linear):
    """Has its own way of loading."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.loaded = prefix
        super()._load_from_state_dict(state_dict, prefix, *args)


class WithExtra(nn.Linear):
    """Has extra state."""

    def get_extra_state(self):
        return {"n": 3}

    def set_extra_state(self, state):
        self.extra = state


def test_asks_modules_with_a_way_of_their_own():
    m = nn.Sequential(Own(2, 2), WithExtra(2, 2))
    state = m.state_dict()
    m.load_state_dict(state)
    assert m[0].loaded == "0." and m[1].extra == {"n": 3}
    seen = []
    m = nn.Sequential(nn.Linear(2, 2))
    m[0]._load_from_state_dict = lambda *args: seen.append(args[1])
    m.load_state_dict(read(m))
    assert seen == ["0."]


@pytest.mark.parametrize("register", ["register_load_state_dict_pre_hook", "register_load_state_dict_post_hook"])
def test_runs_hooks(register):
    m, calls = model(), []
    getattr(m[2][0], register)(lambda module, *rest: calls.append(module))
    m.load_state_dict(read(m))
    assert calls == [m[2][0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("1.num_batches_tracked"),
        lambda s: s.update(more=torch.zeros(1)),
        lambda s: s.update({"0.weight": torch.zeros(3)}),
        lambda s: s.update({"0.weight": torch.zeros(2, 1, 1, 1, dtype=torch.float64)}),
        lambda s: s.update({"0.weight": 5}),
        lambda s: s.update({"0.weight": torch.zeros(4, 1, 1, 1)[:2]}),
    ],
)
def test_leaves_what_does_not_fit_to_the_long_way(change):
    a = model()
    state = OrderedDict((k, v.clone()) for k, v in read(a).items())
    change(state)
    assert plan(a, state) is None


def test_tells_every_problem_and_changes_nothing():
    a, b = model(), model()
    state, before = read(b), {k: v.clone() for k, v in read(a).items()}
    state["0.weight"], state["more"] = torch.zeros(3), torch.zeros(1)
    del state["2.0.bias"]
    with pytest.raises(RuntimeError, match=r'(?s)Missing.*"2.0.bias".*Unexpected.*"more".*size mismatch for 0.weight'):
        a.load_state_dict(state)
    assert same(a, before)


def test_puts_everything_back_when_interrupted(monkeypatch):
    a, b = model(), model()
    state, before = read(b), {k: v.clone() for k, v in read(a).items()}
    plain, count = Storage.write, [0]

    def write(self, array):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        plain(self, array)

    monkeypatch.setattr(Storage, "write", write)
    with pytest.raises(KeyboardInterrupt):
        a.load_state_dict(state)
    assert count[0] == 5  # two were written, and are put back
    monkeypatch.undo()
    assert same(a, before)


def test_saves_through_what_a_child_defines():
    class Child(nn.Linear):
        def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
            destination[prefix + "mine"] = 1
            return destination

    m = nn.Sequential(Child(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    m[1].state_dict = lambda destination, prefix, keep_vars: destination.update({prefix + "patched": keep_vars})
    assert list(m.state_dict()) == ["0.mine", "1.patched", "2.weight", "2.bias"]


def test_switching_to_the_mode_that_holds_asks_no_program_to_look_closer():
    m = model()
    m.eval()
    before = changes.count
    m.eval()
    assert changes.count == before
    m.train()
    assert changes.count > before and all(child.training for child in m.modules())


def test_switching_goes_through_what_a_child_defines():
    class Frozen(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    class Watched(nn.Linear):
        def __setattr__(self, name, value):
            if name == "training":
                self.__dict__.setdefault("seen", []).append(value)
            super().__setattr__(name, value)

    m = nn.Sequential(Frozen(2), Watched(1, 1))
    m.train()
    m.train()
    assert not m[0].training and m[1].seen == [True, True]


def test_forgets_the_gradients_of_the_parameters_that_a_model_names():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1)

        def parameters(self, recurse=True):
            return self.a.parameters(recurse)

    m = Half()
    for child in (m.a, m.b):
        child.weight.grad = torch.ones(1, 1)
    m.zero_grad()
    assert m.a.weight.grad is None and m.b.weight.grad is not None
    m.b.tied = m.b.weight
    m.b.zero_grad(set_to_none=False)
    assert m.b.weight.grad.item() == 0.0
    m.b.zero_grad()
    assert m.b.weight.grad is None
