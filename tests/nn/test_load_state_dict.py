"""Owns the tests of loading a state dict: matching, every problem in one error, assignment, hooks and overrides.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from module_programs import small, tree

import rushlight as torch
from rushlight import nn
from rushlight._tensor.unread import LazyStorage

Small = small(torch)


def values(m):
    return {key: t.tolist() for key, t in m.state_dict().items()}


def changed(m):
    """A state dict of the same form with other values."""
    return OrderedDict((key, torch.full_like(t, 7.0)) for key, t in m.state_dict().items())


def test_contents_are_copied_into_the_parameters_that_are_there():
    net, given = tree(torch), changed(tree(torch))
    before = list(net.parameters())
    out = net.load_state_dict(given)
    assert {number for v in values(net).values() for number in v} == {7.0}
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    given["0.weight"][0] = 0
    assert net[0].weight.tolist() == [7.0, 7.0]
    assert out.missing_keys == [] and out.unexpected_keys == [] and repr(out) == "<All keys matched successfully>"
    assert all(p.requires_grad and p.is_leaf for p in before)


def test_loading_does_not_tie_two_models_together():
    a, b = Small(), Small()
    b.load_state_dict(a.state_dict())
    with torch.no_grad():
        a.weight.fill_(5)
        b.bias.fill_(6)
    assert b.weight.tolist() == [0.0, 1.0] and a.bias.tolist() == [1.0, 1.0]


def test_views_and_optimizer_state_see_what_is_loaded():
    m = Small()
    alias, row = m.weight.data, m.weight.detach()[0]
    m.load_state_dict(changed(m))
    assert alias.tolist() == [7.0, 7.0] and row.item() == 7.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_dtypes_are_converted_to_the_models(dtype):
    m = Small()
    m.load_state_dict({key: t.to(dtype) for key, t in changed(m).items()})
    assert m.weight.dtype is torch.float32 and m.weight.tolist() == [7.0, 7.0]


def test_every_problem_is_in_one_error_and_the_model_stays_as_it_was():
    net = nn.Sequential(Small(), Small(3))
    before = values(net)
    given = changed(net)
    del given["0.bias"]
    given["1.weight"] = torch.ones(4)
    given["1.bias"] = [1.0, 2.0, 3.0]
    given["2.weight"] = given["extra"] = torch.ones(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(given)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for Sequential:\n\t")
    for part in (
        'Missing key(s) in state_dict: "0.bias". ',
        'Unexpected key(s) in state_dict: "2.weight", "extra". ',
        "size mismatch for 1.weight: copying a param with shape torch.Size([4]) from checkpoint, the shape in current "
        "model is torch.Size([3]).",
        'While copying the parameter named "1.bias", expected torch.Tensor or Tensor-like object from checkpoint but '
        "received <class 'list'>",
    ):
        assert part in text
    assert values(net) == before


def test_strict_false_returns_the_keys():
    m = nn.Sequential(Small())
    given = changed(m)
    del given["0.bias"]
    given["more"] = torch.ones(1)
    out = m.load_state_dict(given, strict=False)
    assert out == (["0.bias"], ["more"]) and out.missing_keys == ["0.bias"] and out.unexpected_keys == ["more"]
    assert repr(out) == "_IncompatibleKeys(missing_keys=['0.bias'], unexpected_keys=['more'])"
    assert m[0].weight.tolist() == [7.0, 7.0] and m[0].bias.tolist() == [1.0, 1.0]
    given["0.weight"] = torch.ones(9)
    with pytest.raises(RuntimeError, match=r"size mismatch for 0.weight"):
        m.load_state_dict(given, strict=False)


def test_missing_keys_name_persistent_buffers_only():
    assert Small().load_state_dict({}, strict=False).missing_keys == ["weight", "bias", "mean"]


@pytest.mark.parametrize("prefix, adder", [
    ("module.", "nn.DataParallel or DistributedDataParallel"), ("_orig_mod.", "torch.compile"), ("net.", ""),
])  # fmt: skip
def test_a_prefix_that_explains_it_is_named_with_the_remedy(prefix, adder):
    m = Small()
    state = {prefix + key: t for key, t in m.state_dict().items()}
    with pytest.raises(RuntimeError) as caught:
        m.load_state_dict(state)
    assert f"begin with '{prefix}'" in str(caught.value) and adder in str(caught.value)
    assert f"k.removeprefix('{prefix}')" in str(caught.value)
    assert str(m.load_state_dict({k.removeprefix(prefix): v for k, v in state.items()})).startswith("<All keys")


def test_a_prefix_that_the_file_lacks():
    wrapped = nn.DataParallel(Small())
    with pytest.raises(RuntimeError, match=r"\{'module\.' \+ k: v for k, v in state_dict\.items\(\)\}"):
        wrapped.load_state_dict(Small().state_dict())


def test_not_a_mapping():
    with pytest.raises(TypeError, match=r"Expected state_dict to be dict-like, got <class 'list'>."):
        Small().load_state_dict([])


def test_files_before_0_dim_tensors():
    m = nn.Module()
    m.w = nn.Parameter(torch.tensor(1.0))
    m.load_state_dict({"w": torch.tensor([4.0])})
    assert m.w.item() == 4.0


def test_assign():
    m, given = Small(), changed(Small())
    given["bias"] = nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False)
    m.weight.requires_grad_(False)
    m.load_state_dict(given, assign=True)
    assert m.mean is given["mean"] and m.bias is given["bias"] and m.bias.requires_grad
    assert isinstance(m.weight, nn.Parameter) and not m.weight.requires_grad
    assert m.bias.dtype is torch.float64
    given["weight"][0] = 3
    assert m.weight.tolist() == [3.0, 7.0]
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        m.load_state_dict(changed(Small(3)), assign=True)


def test_a_failed_assignment_leaves_everything():
    m = Small()
    weight, before = m.weight, values(m)
    with pytest.raises(RuntimeError):
        m.load_state_dict({**changed(m), "more": torch.ones(1)}, assign=True)
    assert m.weight is weight and values(m) == before


def test_into_a_model_on_meta():
    m = Small().to_empty(device="meta")
    with pytest.warns(UserWarning, match="copying from a non-meta parameter in the checkpoint to a meta parameter"):
        m.load_state_dict(Small().state_dict())
    assert m.weight.is_meta


def test_pre_hooks():
    m, seen = nn.Sequential(Small()), []
    m[0]._register_load_state_dict_pre_hook(lambda *args: seen.append(args))
    m[0].register_load_state_dict_pre_hook(lambda *args: seen.append(args))
    handle = m[0]._register_load_state_dict_pre_hook(lambda *args: seen.append(args), with_module=True)
    state = m.state_dict()
    m.load_state_dict(state)
    plain, public, private = seen
    assert len(plain) == 7 and public[0] is m[0] and private[0] is m[0] and len(public) == 8
    given, prefix, metadata, strict, missing, unexpected, errors = plain
    assert list(given) == list(state) and prefix == "0." and metadata == {"version": 1} and strict is True
    assert (missing, unexpected, errors) == ([], [], [])
    handle.remove()
    m.load_state_dict(state)
    assert len(seen) == 5


def test_a_pre_hook_may_rename_keys():
    m = Small()

    def rename(state, prefix, *_):
        state[prefix + "weight"] = state.pop(prefix + "gamma")

    m._register_load_state_dict_pre_hook(rename)
    given = changed(m)
    given["gamma"] = given.pop("weight")
    m.load_state_dict(given)
    assert m.weight.tolist() == [7.0, 7.0] and "gamma" in given


def test_a_pre_hook_may_report_an_error():
    m = Small()
    m._register_load_state_dict_pre_hook(lambda *args: args[-1].append("the sky is falling"))
    with pytest.raises(RuntimeError, match=r"Error.s. in loading state_dict for Small:\n\tthe sky is falling"):
        m.load_state_dict(m.state_dict())


def test_post_hooks_may_forgive():
    m, seen = nn.Sequential(Small()), []

    def forgive(module, keys):
        seen.append((module, list(keys.missing_keys), list(keys.unexpected_keys)))
        keys.missing_keys.clear()
        keys.unexpected_keys.clear()

    m.register_load_state_dict_post_hook(forgive)
    out = m.load_state_dict({"odd": torch.ones(1)})
    assert seen == [(m, ["0.weight", "0.bias", "0.mean"], ["odd"])] and out == ([], [])


def test_a_post_hook_returns_nothing():
    m = Small()
    m.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(AssertionError, match="are not expected to return new values"):
        m.load_state_dict(m.state_dict())


def test_metadata_reaches_each_module():
    seen = {}

    class Versioned(Small):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
            seen[prefix] = local_metadata.get("version")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    net = nn.Sequential(Versioned(), Small())
    state = net.state_dict()
    net.load_state_dict(state)
    net.load_state_dict(dict(state))
    assert seen == {"0.": None}
    state._metadata["0"]["version"] = 1
    net.load_state_dict(state)
    assert seen == {"0.": 1}


def test_an_override_may_change_entries_before_they_are_loaded():
    class Old(Small):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            old = state_dict.pop(prefix + "scale", None)
            if old is not None:
                state_dict[prefix + "weight"] = old * 2
            super()._load_from_state_dict(state_dict, prefix, *args)

    net = nn.Sequential(Old())
    given = changed(net)
    given["0.scale"] = given.pop("0.weight")
    net.load_state_dict(given)
    assert net[0].weight.tolist() == [14.0, 14.0] and "0.scale" in given


def test_a_shared_module_is_loaded_from_both_names():
    net = nn.Module()
    net.a = net.b = Small()
    given = changed(net)
    given["b.weight"] = torch.tensor([1.0, 2.0])
    net.load_state_dict(given)
    assert net.a.weight.tolist() == [1.0, 2.0]


def test_round_trip_through_a_file(tmp_path):
    net = tree(torch)
    net.load_state_dict(changed(net))
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other = tree(torch)
    other.load_state_dict(torch.load(tmp_path / "net.pth"))
    assert values(other) == values(net)


def test_a_failed_load_brings_back_contents_that_were_not_read_yet(tmp_path):
    m = Small()
    torch.save(changed(m), tmp_path / "m.pth")
    m.load_state_dict(torch.load(tmp_path / "m.pth", mmap=True), assign=True)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\)"):
        m.load_state_dict({**Small().state_dict(), "more": torch.ones(1)})
    assert m.weight.tolist() == [7.0, 7.0] and m.mean.tolist() == [7.0, 7.0]


def test_a_load_reads_nothing_that_it_replaces():
    m, reads = Small(), []

    def read():
        reads.append(1)
        return torch.zeros(2)._array()

    m.weight._storage = LazyStorage((2,), np.dtype("float32"), m.weight.device, read)
    m.load_state_dict(Small().state_dict())
    assert reads == [] and m.weight.tolist() == [0.0, 1.0]
