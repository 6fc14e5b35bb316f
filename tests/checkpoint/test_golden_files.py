"""Owns the tests against files that real PyTorch wrote; ``scripts/make_checkpoint_goldens.py`` made them.

May import rushlight and numpy, and needs no torch: what torch reads from each file lies beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.checkpoint import InertTensor, Stub, load, save, state_dict_of
from rushlight.inspect import open_source

FOLDER = Path(__file__).parents[1] / "golden" / "checkpoints"
EXPECTED: dict[str, dict] = {}
for _name, _path, _row in json.loads((FOLDER / "expected.json").read_text()):
    EXPECTED.setdefault(_name, {})[_path] = _row


def stored(values: np.ndarray, dtype) -> str:
    """A file's bytes of values."""
    if dtype is torch.complex32:
        values = np.ascontiguousarray(values).reshape(-1).view(np.float32).astype(np.float16)
    return np.ascontiguousarray(values).tobytes().hex()


def rows(value, path: str, out: dict, storages: dict) -> None:
    """What ``rows`` of the script does, for what rushlight read."""
    if isinstance(value, InertTensor):
        kind = "torch." + value.kind if value.kind.startswith("sparse") else value.kind
        out[path] = {"kind": kind, "shape": list(value.shape)}
    elif isinstance(value, torch.Tensor):
        place = storages.setdefault(id(value._storage), len(storages))
        out[path] = {
            "dtype": value.dtype.name, "shape": list(value.shape), "stride": list(value.stride()),
            "grad": value.requires_grad, "storage": place,
            "data": stored(np.asarray(value.detach()._array()), value.dtype),
        }  # fmt: skip
    elif isinstance(value, nn.Module):
        rows(dict(value.state_dict(keep_vars=True)), path, out, storages)
    elif isinstance(value, Stub):
        rows(dict(state_dict_of(value)), path, out, storages)
    elif isinstance(value, dict):
        for key, item in value.items():
            rows(item, f"{path}/{key}", out, storages)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            rows(item, f"{path}/{i}", out, storages)
    elif isinstance(value, argparse.Namespace):
        rows(vars(value), path, out, storages)
    elif isinstance(value, np.ndarray):
        out[path] = {"array": str(value.dtype), "shape": list(value.shape), "data": value.tobytes().hex()}
    else:
        out[path] = {"value": repr(value)}


def check(found, name: str) -> None:
    out: dict = {}
    rows(found, "", out, {})
    wanted = EXPECTED[name]
    assert list(out) == list(wanted)
    wrong = {path: (row, wanted[path]) for path, row in out.items() if row != wanted[path]}
    assert not wrong


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_what_torch_reads(name, mmap):
    if mmap and ("legacy" in name or name == "tar.pt"):
        pytest.skip("torch maps zip archives alone")
    check(load(FOLDER / name, map_location="cpu", weights_only=False, mmap=mmap), name)


@pytest.mark.parametrize("name", [n for n in EXPECTED if "legacy" not in n and n != "tied.safetensors"])
def test_what_is_saved_again_is_the_same(name, tmp_path):
    first = load(FOLDER / name, weights_only=False)
    save(first, tmp_path / "again.pt")
    check(load(tmp_path / "again.pt", weights_only=False), name)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_tools_see_the_same_tensors(name):
    with open_source(FOLDER / name) as opened:
        found = {e.name.replace(".", "/"): e for e in opened.entries}
        for path, row in EXPECTED[name].items():
            if "storage" not in row:
                continue
            entry = found[path[1:].replace(".", "/")]
            assert (entry.dtype.name, list(entry.shape)) == (row["dtype"], row["shape"])
            assert stored(opened.read(entry), entry.dtype) == row["data"], path


def test_a_class_that_nobody_knows_can_be_looked_at():
    found = load(FOLDER / "training_args.bin", weights_only=False)
    assert isinstance(found, Stub) and found.class_name == "__main__.TrainingArguments"
    assert found.state["learning_rate"] == 5e-5 and found.state["device"] == torch.device("cpu")
    assert found.state["strategy"].class_name == "__main__.Strategy"
    modules = load(FOLDER / "modules.pt", weights_only=False)
    assert isinstance(modules["network"].conv, nn.Conv2d) and isinstance(modules["network"].head[1], nn.LSTM)
    assert isinstance(modules["custom"], Stub) and modules["custom"].state["note"] == "kept"


def test_a_run_goes_on_from_torchs_state():
    found = load(FOLDER / "training.pt")
    names = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "norm.weight": (4,), "norm.bias": (4,)}
    assert found["optimizer"]["param_groups"][0]["param_names"][:4] == list(names)
    assert [tuple(found["state_dict"][name].shape) for name in names] == list(names.values())
    assert [tuple(v["exp_avg"].shape) for v in found["optimizer"]["state"].values()] == list(names.values())
