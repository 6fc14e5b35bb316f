"""Owns the tests of what surrounds a load: renames, ties, mismatched shapes, advice in errors, and snapshots.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import re
import sys
import time
import weakref
from collections import OrderedDict

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.checkpoint import Stub
from rushlight.nn.modules import _loading


def net():
    return nn.Sequential(OrderedDict(encoder=nn.Linear(2, 3), norm=nn.BatchNorm1d(3), head=nn.Linear(3, 1)))


def state(prefix="", model=None):
    """A state dict with recognisable values."""
    entries = (model or net()).state_dict()
    out = OrderedDict((prefix + k, torch.full_like(v, 3)) for k, v in entries.items())
    out._metadata = OrderedDict(((prefix + k).strip("."), v) for k, v in entries._metadata.items())
    return out


def loaded(model):
    return {float(v) for t in model.state_dict().values() for v in t.reshape(-1).tolist()} == {3.0}


def error(model, entries, **options):
    with pytest.raises(RuntimeError, match=r"^Error\(s\) in loading state_dict for \w+:\n\t") as caught:
        model.load_state_dict(entries, **options)
    return str(caught.value)


# -- renames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"strip_prefix": "model."}, {"strip_prefix": ["other.", "model."]}, {"key_map": {r"^model\.": ""}},
    {"key_map": lambda key: key.removeprefix("model.")},
    {"key_map": {r"^model": "x", r"^x\.": ""}},
])  # fmt: skip
def test_renames(options):
    model = net()
    assert str(model.load_state_dict(state("model."), **options)) == "<All keys matched successfully>"
    assert loaded(model)


def test_renames_may_drop_keys():
    entries = state("model.")
    entries["loss.weight"] = torch.ones(1)
    for change in ({r"^loss\.": None, r"^model\.": ""}, lambda k: None if k.startswith("loss") else k[6:]):
        model = net()
        model.load_state_dict(entries, key_map=change)
        assert loaded(model)


def test_groups_in_replacements():
    entries = {k.replace("encoder.", "enc0_"): v for k, v in state().items()}
    model = net()
    model.load_state_dict(entries, key_map={r"^enc(\d)_(\w+)$": r"encoder.\2"})
    assert loaded(model)


def test_versions_travel_with_renamed_keys():
    seen = []

    class Versioned(nn.Linear):
        _version = 7

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            seen.append(local_metadata.get("version"))
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    entries = state("old.", nn.Sequential(Versioned(2, 2)))
    nn.Sequential(Versioned(2, 2)).load_state_dict(entries, strip_prefix="old.")
    nn.Sequential(Versioned(2, 2)).load_state_dict(entries, key_map={"old.0": "0"})
    assert seen == [7, 7]


@pytest.mark.parametrize("options, kind, message", [
    ({"strip_prefix": "x."}, ValueError, r"strip_prefix='x\.': expected keys that begin with it, received 'model\.enc"),
    ({"strip_prefix": 3}, TypeError, "not iterable"),
    ({"strip_prefix": [3]}, TypeError, "'strip_prefix' must be str"),
    ({"key_map": 3}, TypeError, "'key_map' must be a dict .* or a function, not int"),
    ({"key_map": {"(": ""}}, ValueError, "no regular expression"),
    ({"key_map": {"a": r"\2"}}, ValueError, "no regular expression"),
    ({"key_map": {"a": 3}}, TypeError, "expected a replacement or None, received 3"),
    ({"key_map": {"nothing": ""}}, ValueError, "the pattern 'nothing' changes no key; the keys look like 'model.enc"),
    ({"key_map": lambda key: 3}, TypeError, "expected a str or None for 'model.encoder.weight', received int"),
    ({"key_map": lambda key: "same"}, ValueError, "both 'model.encoder.weight' and 'model.encoder.bias' the name"),
])  # fmt: skip
def test_wrong_renames(options, kind, message):
    model = net()
    before = model.encoder.weight.tolist()
    with pytest.raises(kind, match=message):
        model.load_state_dict(state("model."), **options)
    assert model.encoder.weight.tolist() == before


# -- shapes and ties ------------------------------------------------------------------------------------------------


def test_mismatched_shapes_can_be_left_out():
    model, entries = net(), state()
    entries["head.weight"], entries["head.bias"] = torch.ones(10, 3), torch.ones(10)
    before = model.head.weight.tolist()
    with pytest.warns(UserWarning, match=r"2 entries .* not loaded: head.weight \(10, 3\) -> \(1, 3\), head.bias"):
        out = model.load_state_dict(entries, ignore_mismatched=True)
    assert not out.missing_keys and model.head.weight.tolist() == before
    assert model.encoder.bias.tolist() == [3.0] * 3
    assert model.load_state_dict(state(), ignore_mismatched=True) and loaded(model)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("left_out", ["embed.weight", "head.weight", None])
def test_one_name_of_a_tied_weight_is_enough(left_out, assign):
    model, entries = Tied(), state(model=Tied())
    shared = entries["embed.weight"]
    entries["head.weight"] = shared
    entries.pop(left_out, None)
    assert str(model.load_state_dict(entries, assign=assign)) == "<All keys matched successfully>"
    assert loaded(model) and model.head.weight is model.embed.weight
    assert isinstance(model.head.weight, nn.Parameter)


def test_entries_that_differ_untie_an_assigned_model():
    model, entries = Tied(), state(model=Tied())
    entries["head.weight"] = torch.ones(4, 3)
    model.load_state_dict(entries, assign=True)
    assert model.head.weight is not model.embed.weight and model.head.weight.tolist()[0] == [1.0] * 3


def test_a_tied_weight_without_any_name_is_missing():
    assert Tied().load_state_dict({}, strict=False).missing_keys == ["embed.weight", "head.weight"]


# -- advice ---------------------------------------------------------------------------------------------------------


def test_nearest_names():
    entries = state()
    entries["encoder.wieght"] = entries.pop("encoder.weight")
    text = error(net(), entries)
    assert (
        'Missing key(s) in state_dict: "encoder.weight". \n\tUnexpected key(s) in state_dict: "encoder.wieght". '
        in text
    )
    assert 'nearest to the missing "encoder.weight" in state_dict: "encoder.wieght"' in text
    entries = state()
    entries["head.biass"] = torch.ones(1)
    assert 'nearest to the unexpected "head.biass" in the model: "head.bias"' in error(net(), entries)


def test_shapes_and_dtypes():
    entries = state()
    entries["encoder.weight"] = torch.ones(2, 3)
    entries["head.weight"], entries["head.weights"] = torch.ones(5), torch.ones(1, 3)
    entries["encoder.bias"] = torch.ones(3, dtype=torch.float16)
    text = error(net(), entries)
    assert "size mismatch for encoder.weight: copying a param with shape torch.Size([2, 3]) from checkpoint" in text
    assert '"encoder.weight" in state_dict is the transpose of what the model has.' in text
    assert 'nearest to "head.weight" with its shape in state_dict: "head.weights".' in text
    assert 'dtype differs for "encoder.bias": torch.float16 in state_dict, torch.float32 in the model' in text


def follow(text: str, checkpoint, model) -> None:
    """Do what the message says."""
    line = text.split("Remedy: ")[1].split(", or load")[0]
    scope = {"model": model, "checkpoint": checkpoint, "state_dict": checkpoint}
    exec(line, scope)


def average():
    return OrderedDict([("n_averaged", torch.tensor(4)), *state("module.").items()])


LAYOUTS = {
    "data_parallel": (lambda: state("module."), "which nn.DataParallel or DistributedDataParallel adds"),
    "compiled": (lambda: state("_orig_mod."), "which torch.compile adds"),
    "both": (lambda: state("module._orig_mod."), "begin with 'module._orig_mod.'"),
    "lightning_state": (lambda: state("model."), "strip_prefix='model.'"),
    "other_prefix": (lambda: state("net.backbone."), "strip_prefix='net.backbone.'"),
    "replaced": (
        lambda: {k.replace("encoder.", "enc."): v for k, v in state().items()},
        "begin with 'enc.' where those in the model begin with 'encoder.'",
    ),
    "checkpoint": (lambda: {"epoch": 3, "state_dict": state()}, "is a checkpoint that holds .* under 'state_dict'"),
    "other_key": (lambda: {"net_weights": state(), "optimizer": {"state": {}}}, "under 'net_weights'"),
    "nested_prefix": (lambda: {"model": state("module.")}, r"checkpoint\['model'\], strip_prefix='module.'"),
    "lightning": (
        lambda: {"pytorch-lightning_version": "2", "state_dict": {**state("model."), "loss.w": torch.ones(1)}},
        "is a Lightning checkpoint.*strip_prefix='model.', strict=False",
    ),
    "with_average": (
        lambda: {"state_dict_ema": state(), "state_dict": state()}, r"under 'state_dict' \(others are under 'state_.*a"
    ),
    "only_average": (lambda: {"ema": state("module."), "step": 2}, r"checkpoint\['ema'\], strip_prefix='module.'"),
    "averaged_model": (average, "as AveragedModel saves them.*'.n_averaged.': None"),
    "beside_its_average": (
        lambda: {**state(), **state("ema."), "ema.count": torch.tensor(1)}, r"a second time, under 'ema\.'.*None}"
    ),
    "ema_pytorch": (
        lambda: {**state("online_model."), **state("ema_model."), "initted": torch.tensor(True)},
        "begin with 'ema_model.', which an average of the weights adds.*strict=False",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised_and_the_remedy_works(name):
    make, wanted = LAYOUTS[name]
    model, checkpoint = net(), make()
    text = error(model, checkpoint)
    assert re.search(wanted, text), text
    assert "\n" not in text.split("Remedy: ")[1]
    follow(text, checkpoint, model)
    assert loaded(model)


def test_a_prefix_that_only_the_model_has():
    model = nn.DataParallel(net())
    text = error(model, state())
    assert "The keys in the model begin with 'module.', which nn.DataParallel or DistributedDataParallel adds" in text
    follow(text, state(), model)
    assert loaded(model)


def test_averages_by_position():
    model = nn.Linear(2, 3)
    checkpoint = {"decay": 0.9, "num_updates": 3, "shadow_params": [torch.full((3, 2), 3.0), torch.full((3,), 3.0)]}
    text = error(model, checkpoint)
    assert "keeps its parameters by position" in text
    follow(text, checkpoint, model)
    assert loaded(model)


def test_no_advice_where_there_is_nothing_to_say():
    text = error(nn.Linear(2, 3), {"something": torch.ones(1)})
    assert text.endswith('Unexpected key(s) in state_dict: "something". ')


def test_many_keys_are_compared_quickly():
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(400)))
    entries = {f"block{i}.w{i}": torch.ones(1) for i in range(2000)}
    begin = time.monotonic()
    error(model, entries)
    assert time.monotonic() - begin < 5


def test_a_module_instead_of_its_state():
    with pytest.raises(TypeError, match=r"dict-like, got <class '.*Linear'>; pass its state_dict\(\)"):
        nn.Linear(1, 1).load_state_dict(nn.Linear(1, 1))
    stub = Stub("mylib.Net", (), state={"_modules": {}})
    with pytest.raises(TypeError, match=r"dict-like, got <class '.*Stub'>; pass rushlight\.checkpoint\.state_dict_of"):
        nn.Linear(1, 1).load_state_dict(stub)


def test_the_state_of_an_optimizer_instead():
    model = nn.Linear(1, 1)
    text = error(model, torch.optim.SGD(model.parameters(), lr=1.0).state_dict())
    assert text.endswith("is that of an optimizer. Remedy: optimizer.load_state_dict(state_dict)")


# -- snapshots ------------------------------------------------------------------------------------------------------


def test_a_snapshot_stays_as_it_was():
    model = Tied()
    snapshot, live = model.state_dict(copy=True), model.state_dict()
    before = model.embed.weight.tolist()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.head(model.embed(torch.tensor([0, 1]))).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model.embed.weight[0] = 5.0
    assert snapshot["embed.weight"].tolist() == before != live["embed.weight"].tolist()
    assert snapshot["embed.weight"]._storage is snapshot["head.weight"]._storage
    assert list(snapshot) == list(live) and snapshot._metadata == live._metadata
    model.load_state_dict(snapshot)
    assert model.embed.weight.tolist() == before


def test_a_snapshot_survives_compiled_training():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step(torch.ones(1, 2))
    snapshot = model.state_dict(copy=True)
    before = model.weight.tolist()
    for _ in range(3):
        step(torch.ones(1, 2))
    assert snapshot["weight"].tolist() == before != model.weight.tolist()


def test_keep_vars_in_a_snapshot():
    model = nn.Linear(2, 1)
    snapshot = model.state_dict(copy=True, keep_vars=True)
    assert isinstance(snapshot["weight"], nn.Parameter) and snapshot["weight"] is not model.weight


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is given back on Linux alone")
def test_replaced_arrays_are_let_go_before_their_memory_is_given_back(monkeypatch):
    monkeypatch.setattr(_loading, "_LARGE", 0)
    model = net()
    old = [weakref.ref(p._array()) for p in model.parameters()]
    alive = []
    monkeypatch.setattr(_loading.jax, "block_until_ready", lambda arrays: alive.append(len(arrays)))
    model.load_state_dict(state())
    assert alive == [len(old)] and not any(ref() for ref in old)
