"""Owns the tests of conversion between all formats, torch's old one and orbax folders above all.

May import rushlight, numpy and orbax.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.inspect import UnreadableFile, open_source
from rushlight.inspect.compare import compare
from rushlight.inspect.convert import Unsuitable, convert, parse_dtype

NESTED = {"a.pth": "", "a.pt": "legacy", "a.orbax": "orbax"}
FLAT = {"a.safetensors": "", "a.npz": ""}


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11, bias=False), nn.BatchNorm1d(4))
    net[1].weight = net[0].weight
    return net


def run() -> dict:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.25)
    net[1](net[0](torch.tensor([1, 2]))).sum().backward()
    optimizer.step()
    state = net.state_dict()
    state["transposed"] = torch.arange(12.0).reshape(3, 4).t()
    state["nothing"] = torch.ones(0, 3)
    return {"state_dict": state, "optimizer": optimizer.state_dict(), "epoch": 3, "hp": (1, "x", None, float("inf"))}


def write(source, target, kind: str = "", **options) -> list[str]:
    if "orbax" in (kind, target.suffix[1:]):
        pytest.importorskip("orbax.checkpoint")
    with open_source(source) as opened:
        return convert(opened, target, kind=kind, **options).notes


def difference(a, b) -> dict:
    with open_source(a) as one, open_source(b) as two:
        return compare(one, two)


@pytest.mark.parametrize("source", [*NESTED, *FLAT])
def test_every_format_into_every_other(tmp_path, source):
    kinds = NESTED | FLAT
    torch.save(run(), tmp_path / "first.ckpt")
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    write(tmp_path / "first.ckpt", tmp_path / "from" / source, kinds[source])
    for target, kind in kinds.items():
        notes = write(tmp_path / "from" / source, tmp_path / "to" / target, kind)
        found = difference(tmp_path / "from" / source, tmp_path / "to" / target)
        # Values that are no tensors live in the nested formats alone.
        assert not (found["changed"] or found["added"] or found["removed"] or found["renamed"]), (source, target)
        lost = source in NESTED and target in FLAT
        assert bool(found["values"]) == lost and any("other than tensors left out" in note for note in notes) == lost
        with open_source(tmp_path / "to" / target) as opened:
            ties = [{e.name for e in group} for group in opened.shared()]
        tied = "a.npz" not in (source, target)
        assert ties == ([{"state_dict.0.weight", "state_dict.1.weight"}] if tied else [])


def test_the_old_format_is_what_save_writes(tmp_path):
    torch.save(run(), tmp_path / "a.pth")
    torch.save(run(), tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    write(tmp_path / "a.pth", tmp_path / "c.pth", "legacy")
    with open_source(tmp_path / "c.pth") as opened:
        assert opened.format == "torch legacy"
    assert difference(tmp_path / "b.pth", tmp_path / "c.pth")["equal"]
    state = torch.load(tmp_path / "c.pth")["state_dict"]
    assert state["0.weight"] is state["1.weight"] or state["0.weight"].data_ptr() == state["1.weight"].data_ptr()
    assert state["transposed"].stride() == (1, 4)


def test_casts_into_the_old_format_and_into_orbax(tmp_path):
    torch.save({"a": torch.ones(300, 7), "n": torch.arange(3)}, tmp_path / "a.pth")
    for name, kind in (("b.pt", "legacy"), ("b.orbax", "")):
        write(tmp_path / "a.pth", tmp_path / name, kind, dtype=parse_dtype("bf16"))
        with open_source(tmp_path / name) as opened:
            assert {e.name: e.dtype for e in opened.entries} == {"a": torch.bfloat16, "n": torch.int64}
            assert float(opened.read(opened.entries[0]).astype(np.float32).sum()) == 2100


def test_a_converted_run_goes_on(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    from rushlight.checkpoint.orbax import Checkpointer

    saved = run()
    torch.save(saved, tmp_path / "a.ckpt")
    write(tmp_path / "a.ckpt", tmp_path / "a.orbax")
    write(tmp_path / "a.ckpt", tmp_path / "tensors.orbax", tensors_only=True)
    net = network()
    optimizer = torch.optim.AdamW(net.parameters())
    del saved["state_dict"]["transposed"], saved["state_dict"]["nothing"]
    with Checkpointer(tmp_path / "a.orbax") as folder:
        found = folder.restore(optimizer=optimizer)
    assert found == {"step": 0, "epoch": 3, "hp": (1, "x", None, float("inf"))}
    assert optimizer.param_groups[0]["lr"] == 0.25
    with open_source(tmp_path / "tensors.orbax") as opened:
        assert "state_dict.transposed" in {e.name for e in opened.entries}


def test_what_a_checkpointer_wrote(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    from rushlight.checkpoint.orbax import Checkpointer

    net = network()
    with Checkpointer(tmp_path / "run") as folder:
        for step in (2, 10):
            with torch.no_grad():
                net[2].weight.fill_(float(step))
            folder.save(step, net=net, note="x")
    write(tmp_path / "run", tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth")
    assert found["note"] == "x" and found["net"]["2.weight"].tolist() == [10.0] * 4
    assert found["net"]._metadata["2"] == {"version": 2}
    network().load_state_dict(found["net"])
    with open_source(tmp_path / "run", "net") as opened:
        assert opened.notes == ["step 10, the last of 2"] and opened.entries[0].name == "0.weight"


@pytest.mark.parametrize("ocdbt", [True, False])
def test_what_others_wrote_with_orbax(tmp_path, ocdbt):
    library = pytest.importorskip("orbax.checkpoint")
    tree = {"params": {"kernel": np.ones((3, 4), np.float16)}, "rows": [np.arange(3), (np.arange(2),)], "step": 5,
            "name": "x", "nothing": None, "empty": {}}  # fmt: skip
    library.PyTreeCheckpointer(use_ocdbt=ocdbt).save(tmp_path / "a", tree)
    with open_source(tmp_path / "a") as opened:
        assert {e.name: (e.dtype, e.shape) for e in opened.entries} == {
            "params.kernel": (torch.float16, (3, 4)), "rows.0": (torch.int64, (3,)), "rows.1.0": (torch.int64, (2,)),
        }  # fmt: skip
        assert opened.values == {"step": 5, "name": "x", "nothing": None, "empty": {}}
        assert isinstance(opened.root["rows"], list)
    write(tmp_path / "a", tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth")["rows"][1][0].tolist() == [0, 1]


def test_what_cannot_be_written(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    torch.save({"a": torch.ones(2), "odd": torch.Size([1])}, tmp_path / "a.pth")
    torch.save({"part": {"a": torch.ones(2)}, "odd": {1, 2}}, tmp_path / "odd.pth")
    with pytest.raises(Unsuitable, match=r"received set at 'odd'.*--tensors-only"):
        write(tmp_path / "odd.pth", tmp_path / "x.orbax")
    (tmp_path / "full.orbax").mkdir()
    (tmp_path / "full.orbax" / "precious").write_text("kept")
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        write(tmp_path / "a.pth", tmp_path / "full.orbax", tensors_only=True)
    assert (tmp_path / "full.orbax" / "precious").read_text() == "kept"
    for kind in ("legacy", "orbax", "npz"):
        with pytest.raises(Unsuitable, match="no sharded form"):
            write(tmp_path / "a.pth", tmp_path / "x", kind, shard_size=10)
    with pytest.raises(Unsuitable, match="or a format out of torch, legacy"):
        write(tmp_path / "a.pth", tmp_path / "x.orbax", "parquet")


def test_a_damaged_folder(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    write(tmp_path / "a.pth", tmp_path / "a.orbax")
    table = tmp_path / "a.orbax" / "0" / "arrays" / "_METADATA"
    whole = table.read_text()
    table.write_text("{")
    with pytest.raises(UnreadableFile, match="expected JSON"):
        open_source(tmp_path / "a.orbax")
    (tmp_path / "a.orbax" / "0" / "tree" / "metadata").unlink()
    outside = whole.replace("model/a", "../../../elsewhere").replace('"use_ocdbt": true', '"use_ocdbt": false')
    assert json.loads(outside)["use_ocdbt"] is False
    table.write_text(outside)
    with pytest.raises(UnreadableFile, match="would lie outside of the folder"):
        open_source(tmp_path / "a.orbax")


def test_ties_across_shards(tmp_path):
    """``save_sharded`` and ``convert`` note ties in one way, and both readers bring them back."""
    state = {"a": torch.ones(100), "b": torch.zeros(100), "c": torch.full((100,), 2.0)}
    state |= {"tied": state["a"]}
    torch.checkpoint.save_sharded(state, tmp_path / "one.safetensors.index.json", 500, {"note": "kept"})
    write(tmp_path / "one.safetensors.index.json", tmp_path / "two.safetensors", shard_size=500)
    write(tmp_path / "one.safetensors.index.json", tmp_path / "three.pth", shard_size=500)
    for name in ("one.safetensors", "two.safetensors", "three.pth"):
        index = tmp_path / f"{name}.index.json"
        files = json.loads(index.read_text())["weight_map"]
        # Other libraries ask the files for every name in the index.
        assert set(files) == {"a", "b", "c"} | ({"tied"} if name == "three.pth" else set())
        found = torch.load(index)
        assert list(found["tied"].numpy()) == [1.0] * 100 and set(found) == {"a", "b", "c", "tied"}
        assert found["tied"].data_ptr() == found["a"].data_ptr()
        with open_source(index) as opened:
            assert [[e.name for e in group] for group in opened.shared()] == [["a", "tied"]]
            assert opened.read(opened.entries[-1]).shape == (100,)
            if name == "one.safetensors":
                assert opened.metadata == {"format": "pt", "note": "kept"}
    # Here the tie is known to the index and to the last file alone.
    for file in ("one-00001-of-00003.safetensors", "one-00003-of-00003.safetensors"):
        part = torch.load(tmp_path / file)
        assert part.metadata["tied"] == "a"


def test_a_common_ending_alone_makes_no_new_name(tmp_path):
    torch.save({"body.bias": torch.ones(3), "norm.bias": torch.zeros(64)}, tmp_path / "a.pth")
    torch.save({"body.bias": torch.ones(3), "new.bias": torch.ones(5)}, tmp_path / "b.pth")
    found = difference(tmp_path / "a.pth", tmp_path / "b.pth")
    assert not found["renamed"] and not found["changed"]
    assert [r["name"] for r in found["removed"] + found["added"]] == ["norm.bias", "new.bias"]
