"""Owns the tests of saving a module into a state dict: keys, sharing, metadata, extra state, hooks and overrides.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

from collections import OrderedDict

import pytest
from module_programs import small, tree

import rushlight as torch
from rushlight import nn

Small = small(torch)


def test_keys_in_torchs_order():
    parts = ("weight", "bias", "mean")
    paths = ("0", "1.0", "1.1", "named.a", "named.b")
    assert list(tree(torch).state_dict()) == [f"{path}.{part}" for path in paths for part in parts]


def test_it_is_an_ordered_dict_with_the_versions_of_all_modules():
    class Newer(nn.Module):
        _version = 3

    net = nn.Sequential(Newer(), nn.Sequential(Small()))
    state = net.state_dict()
    assert type(state) is OrderedDict
    assert state._metadata == {
        "": {"version": 1}, "0": {"version": 3}, "1": {"version": 1}, "1.0": {"version": 1},
    }  # fmt: skip
    assert type(state._metadata) is OrderedDict and list(state._metadata) == ["", "0", "1", "1.0"]


def test_entries_share_the_models_storage():
    m = Small()
    state = m.state_dict()
    state["weight"][0] = 1000
    assert m.weight.tolist() == [1000.0, 1.0]
    state["mean"].fill_(7)
    assert m.mean.tolist() == [7.0, 7.0]
    with torch.no_grad():
        m.weight[1] = 5
    assert state["weight"].tolist() == [1000.0, 5.0]
    assert state["weight"].data_ptr() == m.weight.data_ptr()


def test_entries_are_tensors_without_gradient_and_setting_it_changes_only_the_entry():
    m = Small()
    state = m.state_dict()
    assert all(type(t) is torch.Tensor and not t.requires_grad and t.is_leaf for t in state.values())
    m.weight.requires_grad = False
    for t in state.values():
        t.requires_grad = True
    assert not m.weight.requires_grad and m.bias.requires_grad and not m.mean.requires_grad


def test_keep_vars():
    m = Small()
    state = m.state_dict(keep_vars=True)
    assert state["weight"] is m.weight and state["mean"] is m.mean


def test_prefix_and_destination():
    m, given = nn.Sequential(Small()), OrderedDict(first=1)
    assert m.state_dict(destination=given, prefix="net.") is given
    assert list(given) == ["first", "net.0.weight", "net.0.bias", "net.0.mean"]
    assert not hasattr(given, "_metadata")
    given._metadata = OrderedDict()
    m.state_dict(destination=given, prefix="net.")
    assert list(given._metadata) == ["net", "net.0"]


def test_positional_arguments_warn():
    given = OrderedDict()
    with pytest.warns(FutureWarning, match="Positional args are being deprecated, use kwargs instead"):
        out = Small().state_dict(given, "p.", True)
    assert out is given and list(out) == ["p.weight", "p.bias", "p.mean"] and out["p.weight"].requires_grad


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def test_extra_state():
    net = nn.Sequential(Counted(), Small())
    net[0].count = 4
    state = net.state_dict()
    assert next(iter(state)) == "0._extra_state" and state["0._extra_state"] == {"count": 4}
    other = nn.Sequential(Counted(), Small())
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>" and other[0].count == 4
    del state["0._extra_state"]
    assert other.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        other.load_state_dict(state)


def test_extra_state_that_is_not_expected():
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "_extra_state"'):
        nn.Module().load_state_dict({"_extra_state": 3})


def test_extra_state_undefined():
    with pytest.raises(RuntimeError, match="get_extra_state"):
        nn.Module().get_extra_state()
    with pytest.raises(RuntimeError, match="set_extra_state"):
        nn.Module().set_extra_state(1)


def test_hooks_before_and_after():
    net, seen = nn.Sequential(Small()), []
    net.register_state_dict_pre_hook(lambda m, prefix, keep_vars: seen.append(("before", m, prefix, keep_vars)))
    handle = net.register_state_dict_post_hook(
        lambda m, state, prefix, meta: seen.append(("after", m, prefix, list(state), meta))
    )
    net.state_dict(prefix="p.", keep_vars=True)
    keys = ["p.0.weight", "p.0.bias", "p.0.mean"]
    assert seen == [("before", net, "p.", True), ("after", net, "p.", keys, {"version": 1})]
    handle.remove()
    net.state_dict()
    assert len(seen) == 3 and len(net._state_dict_hooks) == 0 and len(net._state_dict_pre_hooks) == 1


def test_a_post_hook_changes_the_dict_in_place():
    m = Small()
    m.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(more=1))
    assert list(m.state_dict()) == ["weight", "bias", "mean", "more"]


def test_only_the_private_hook_may_return_another_dict():
    m = Small()
    handle = m._register_state_dict_hook(lambda m, state, prefix, meta: {"mine": 1})
    assert m.state_dict() == {"mine": 1}
    handle.remove()

    def hook(m, state, prefix, meta):
        return {}

    m.register_state_dict_post_hook(hook)
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        m.state_dict()
    with pytest.raises(RuntimeError, match="Cannot register the same function as the state dict post hook"):
        m._register_state_dict_hook(hook)


def test_overriding_what_a_module_saves():
    class Own(Small):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "size"] = self.size
            del destination[prefix + "bias"]

    assert list(nn.Sequential(Own()).state_dict()) == ["0.weight", "0.mean", "0.size"]


def test_overriding_state_dict_of_a_child():
    class Own(nn.Module):
        def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
            out = super().state_dict(*args, destination=destination, prefix=prefix, keep_vars=keep_vars)
            out[prefix + "own"] = 1
            return out

    state = nn.Sequential(Own(), Small()).state_dict()
    assert list(state) == ["0.own", "1.weight", "1.bias", "1.mean"]


def test_dump_patches_and_version_are_class_attributes():
    assert nn.Module.dump_patches is False and nn.Module._version == 1
    assert Small().dump_patches is False and "_version" not in Small().__dict__


def test_changes_after_a_first_call_are_seen():
    m = Small()
    m.state_dict()
    m.weight = nn.Parameter(torch.zeros(5))
    m.register_buffer("late", torch.zeros(1))
    m.child = Small()
    del m.bias
    assert list(m.state_dict()) == ["weight", "mean", "late", "child.weight", "child.bias", "child.mean"]
    assert m.state_dict()["weight"].shape == (5,)
