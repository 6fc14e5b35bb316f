"""Owns the tests of safetensors files and of sharded sets.

May import rushlight, numpy and safetensors; needs no PyTorch.
"""

from __future__ import annotations

import json
import os
import struct
import sys

import numpy as np
import pytest

import rushlight as torch
from rushlight import dtypes, nn
from rushlight._tensor.unread import LazyStorage
from rushlight.checkpoint import InertTensor, load, load_file, save, save_file, save_sharded
from rushlight.checkpoint.shards import parse_size

safetensors = pytest.importorskip("safetensors")


def same(ours, wanted):
    assert set(ours) == set(wanted)
    for key, value in wanted.items():
        assert ours[key].dtype is value.dtype and ours[key].tolist() == value.tolist(), key


@pytest.mark.parametrize("mmap", [False, True])
def test_every_dtype(tmp_path, mmap):
    state = {}
    for name, dtype in dtypes.ALL.items():
        if name != "complex128":
            values = np.arange(1, 7).astype(dtype.np).reshape(2, 3)
            state[name] = torch.frombuffer(bytearray(values.tobytes()), dtype=dtype).reshape(2, 3)
    state |= {"scalar": torch.tensor(3.5), "empty": torch.ones(0, 4), "turned": torch.arange(6.0).view(2, 3).t()}
    state["part"] = torch.arange(10.0)[3:5]
    path = tmp_path / "x.safetensors"
    save(state, path)
    same(load(path, mmap=mmap), state)
    with pytest.raises(RuntimeError, match=r"cannot save 'x': safetensors has no torch.complex128"):
        save({"x": torch.ones(1, dtype=torch.complex128)}, path)
    with pytest.raises(RuntimeError, match=r"cannot save 'x': .*meta device"):
        save({"x": torch.ones(1, device="meta")}, path)
    assert os.listdir(tmp_path) == ["x.safetensors"] and set(load(path)) == set(state)


def test_mapped_tensors_wait_for_their_first_use(tmp_path):
    path = tmp_path / "x.safetensors"
    save({"a": torch.arange(1000.0), "b": torch.ones(3)}, path)
    found = load(path, mmap=True)
    assert all(type(t._storage) is LazyStorage for t in found.values())
    assert found["a"].shape == (1000,) and found["a"].dtype is torch.float32 and found["a"].requires_grad is False
    assert found["a"].untyped_storage().nbytes() == 4000 and type(found["a"]._storage) is LazyStorage
    assert found["a"].sum().item() == 499500.0 and type(found["a"]._storage) is not LazyStorage
    assert type(found["b"]._storage) is LazyStorage


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight


def test_ties_are_written_once_and_restored(tmp_path):
    path, model = tmp_path / "x.safetensors", Tied()
    save(model, path)
    with safetensors.safe_open(path, "np") as file:
        assert list(file.keys()) == ["embed.weight"] and file.metadata()["head.weight"] == "embed.weight"
    found = load(path)
    assert found["head.weight"] is found["embed.weight"]
    other = Tied()
    assert str(other.load_state_dict(found)) == "<All keys matched successfully>"
    assert other.head.weight.tolist() == model.head.weight.tolist()
    save(found, path)
    assert load(path)["head.weight"].tolist() == model.head.weight.tolist()
    found["head.weight"] = torch.zeros(4, 3)
    save(found, path)
    again = load(path)
    assert again["head.weight"].tolist() == [[0.0] * 3] * 4 and again["embed.weight"].tolist() != [[0.0] * 3] * 4


def test_parts_of_one_storage_are_written_apart(tmp_path):
    base = torch.arange(6.0)
    save({"a": base[:3], "b": base[3:], "c": base.view(2, 3)}, tmp_path / "x.safetensors")
    same(load(tmp_path / "x.safetensors"), {"a": base[:3], "b": base[3:], "c": base.view(2, 3)})


def test_metadata_is_kept(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.ones(1)}, path, metadata={"author": "me"})
    found = load_file(path)
    assert found.metadata == {"format": "pt", "author": "me"}
    save(found, path)
    assert load(path).metadata == {"format": "pt", "author": "me"}
    with pytest.raises(TypeError, match="metadata: expected text"):
        save_file({}, path, metadata={"epoch": 3})


def test_map_location(tmp_path):
    path = tmp_path / "x.safetensors"
    save({"x": torch.ones(2)}, path)
    assert load(path, map_location="meta")["x"].is_meta
    assert load(path, map_location=lambda storage, location: storage)["x"].tolist() == [1.0, 1.0]


def test_what_is_no_dict_of_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(TypeError, match="expected a dict of tensors, received list"):
        save([torch.ones(1)], path)
    with pytest.raises(TypeError, match=r"'epoch' is int \(and 1 more entries are no tensors\)"):
        save({"x": torch.ones(1), "epoch": 3, "lr": 0.1}, path)
    with pytest.raises(TypeError, match=r"\.dense\(\)"):
        save({"x": InertTensor("sparse_coo", torch.float32, (3,), {})}, path)
    assert not path.exists()


def test_packed_types_are_described(tmp_path):
    path = tmp_path / "x.safetensors"
    data = np.arange(8, dtype=np.uint8)
    spec = safetensors.TensorSpec(dtype="float4_e2m1fn_x2", shape=(2, 4), data_ptr=data.ctypes.data, data_len=8)
    safetensors.serialize_file({"x": spec}, str(path))
    found = load(path)
    assert found["x"].kind == "packed" and tuple(found["x"].shape) == (2, 4)
    assert found["x"].parts["data"].flatten().tolist() == list(range(8))
    before = path.read_bytes()
    save(found, path)
    assert path.read_bytes()[-8:] == before[-8:] and load(path)["x"].shape == (2, 4)


def header(entries: dict, data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize("data", [
    b"", b"abc", struct.pack("<Q", 2**62), struct.pack("<Q", 50) + b"{}", struct.pack("<Q", 2) + b"xx",
    header({"x": ENTRY}), header({"x": ENTRY}, b"1234567"), header({"x": ENTRY}, b"123456789"),
    header({"x": {**ENTRY, "shape": [3]}}, b"12345678"), header({"x": {**ENTRY, "shape": [2**62, 2**62]}}, b"12345678"),
    header({"x": {**ENTRY, "dtype": "F99"}}, b"12345678"),
    header({"x": {**ENTRY, "data_offsets": [8, 0]}}, b"12345678"),
    header({"x": ENTRY, "y": ENTRY}, b"12345678"), header({"x": {**ENTRY, "shape": [-2]}}, b"12345678"),
    header({"x": [1]}, b"12345678"),
], ids=range(15))  # fmt: skip
def test_broken_files(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    for mmap in (False, True):
        with pytest.raises(RuntimeError, match="expected a safetensors file, received a broken one"):
            load(path, mmap=mmap)


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "no.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(IsADirectoryError):
        load(tmp_path / "folder.safetensors")
    with pytest.raises(RuntimeError, match="received a directory"):
        save({}, tmp_path / "folder.safetensors")


def test_the_library_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"needs the package 'safetensors'.*pip install 'rushlight\[checkpoint\]'"):
        save({"x": torch.ones(1)}, tmp_path / "x.safetensors")


# -- sharded sets ---------------------------------------------------------------------------------------------------


def test_shards(tmp_path):
    state = {f"layer{i}.weight": torch.full((10, 10), float(i)) for i in range(7)}
    state["tied"] = state["layer0.weight"]
    save_sharded(state, tmp_path, "1KB", metadata={"note": "kept"})
    files = sorted(os.listdir(tmp_path))
    assert files == [f"model-{i:05d}-of-00004.safetensors" for i in range(1, 5)] + ["model.safetensors.index.json"]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 2800 and len(index["weight_map"]) == 7
    for mmap in (False, True):
        found = load(tmp_path / "model.safetensors.index.json", mmap=mmap)
        same(found, state)
        assert found["tied"] is found["layer0.weight"] and found.metadata["note"] == "kept"
    save(found, tmp_path / "one.safetensors.index.json")
    same(load(tmp_path / "one.safetensors.index.json"), state)
    assert (tmp_path / "one-00001-of-00001.safetensors").exists()


def test_a_sharded_set_of_pickles(tmp_path):
    save({"a": torch.ones(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    save({"b": torch.zeros(2)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    files = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    same(load(tmp_path / "pytorch_model.bin.index.json"), {"a": torch.ones(2), "b": torch.zeros(2)})


def test_broken_indexes(tmp_path):
    path = tmp_path / "x.safetensors.index.json"
    for text, message in (
        ("{", "in JSON"), ("[]", "with a 'weight_map'"), ('{"weight_map": {"a": 3}}', "with a 'weight_map'"),
        ('{"weight_map": {"a": "../secret.safetensors"}}', "names of files beside it, received '../secret"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "names of files beside it"),
        ('{"weight_map": {"a": ".."}}', "names of files beside it"), ("[" * 100000, "in JSON"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(RuntimeError, match=message):
            load(path)
    path.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    with pytest.raises(FileNotFoundError, match=r"not beside it: one.safetensors, two.safetensors"):
        load(path)
    for name in ("one", "two"):
        save({"c": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(RuntimeError, match=r"do not hold: a, b. Download"):
        load(path)


def test_sizes():
    assert [parse_size(s) for s in (7, "7", "5GB", "1.5 kb", "2MiB")] == [7, 7, 5 * 10**9, 1500, 2 << 20]
    for bad in (0, -1, "x", "5XB", None, True, 1.5):
        with pytest.raises(ValueError, match="max_shard_size"):
            parse_size(bad)
    with pytest.raises(ValueError, match=r"ends with '.safetensors.index.json'"):
        save_sharded({}, "x.json")
