"""Sources: every format gives the same list of tensors, and their values one at a time."""

import json
import struct

import numpy as np
import pytest

import rushlight as torch
from rushlight.inspect import open_source
from rushlight.inspect.convert import Unsuitable, convert, parse_dtype, parse_size, renamer
from rushlight.inspect.source import UnreadableFile, blocks


def state():
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "layer.weight": base,
        "layer.bias": torch.tensor([0.5, -1.5], dtype=torch.bfloat16),
        "head.weight": base,
        "head.mask": torch.tensor([True, False]),
        "head.steps": torch.tensor(7),
        "transposed": base.t(),
        "complex": torch.tensor([1 + 2j]),
        "empty": torch.zeros(0, 3),
    }


def values(source):
    return {entry.name: np.asarray(source.read(entry)) for entry in source.entries}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(state(), path)
    return path


def test_a_torch_file_is_listed_without_reading(saved):
    with open_source(saved) as source:
        entry = {e.name: e for e in source.entries}
        assert source.format == "torch zip" and list(entry) == list(state())
        assert (entry["layer.weight"].shape, entry["layer.weight"].dtype) == ((3, 4), torch.float32)
        assert entry["transposed"].stride == (1, 4) and entry["transposed"].storage == entry["layer.weight"].storage
        assert [[e.name for e in g] for g in source.shared()] == [["layer.weight", "head.weight", "transposed"]]
        assert entry["head.weight"].place == entry["layer.weight"].place != entry["transposed"].place
        assert sum(source.storages.values()) == 48 + 4 + 2 + 8 + 8


@pytest.mark.parametrize("ending", ["b.pth", "b.safetensors", "b.npz", "b.safetensors.index.json", "b.pt.index.json"])
def test_every_format_holds_the_same_values(saved, tmp_path, ending):
    sharded = ending.endswith(".index.json")
    target = tmp_path / ending.removesuffix(".index.json")
    with open_source(saved) as source:
        if ending.endswith("npz"):
            with pytest.raises(ValueError, match=r"npz has no bfloat16.*--dtype float32"):
                convert(source, target)
            assert not target.exists()
            convert(source, target, dtype=torch.float32)
        else:
            made = convert(source, target, shard_size=40 if sharded else None)
            assert len(made.files) == (5 if sharded else 1)
        before = values(source)
        dtypes_before = {e.name: e.dtype for e in source.entries}
    with open_source(tmp_path / ending) as copy:
        after = values(copy)
        assert sorted(after) == sorted(before)
        for name, array in before.items():
            assert after[name].shape == array.shape
            np.testing.assert_array_equal(after[name].astype(complex), array.astype(complex))
        if not ending.endswith("npz"):
            assert {e.name: e.dtype for e in copy.entries} == dtypes_before
            tied = {e.name: e.place for e in copy.entries}
            assert tied["layer.weight"] == tied["head.weight"]


def test_rushlight_loads_what_convert_writes(saved, tmp_path):
    with open_source(saved) as source:
        convert(source, tmp_path / "b.pth", dtype=torch.float16)
    back = torch.load(tmp_path / "b.pth")
    assert back["layer.weight"].dtype is torch.float16 and back["head.steps"].dtype is torch.int64
    assert back["layer.weight"].tolist() == state()["layer.weight"].tolist()
    back["layer.weight"][0, 0] = 5
    assert back["transposed"][0, 0].item() == 5


def test_nested_objects_keep_their_values(tmp_path):
    torch.save({"epoch": 3, "model": state(), "history": [(1, 0.5)]}, tmp_path / "a.ckpt")
    with open_source(tmp_path / "a.ckpt") as source:
        assert source.values == {"epoch": 3, "history.0": (1, 0.5)}
        assert source.entries[0].name == "model.layer.weight"
        convert(source, tmp_path / "b.ckpt")
        made = convert(source, tmp_path / "b.safetensors")
        assert any("2 values" in note for note in made.notes)
    assert torch.load(tmp_path / "b.ckpt")["history"] == [(1, 0.5)]
    with open_source(tmp_path / "a.ckpt", only="model") as source:
        assert [e.name for e in source.entries] == list(state())
        convert(source, tmp_path / "c.pth")
    assert list(torch.load(tmp_path / "c.pth")) == list(state())
    with pytest.raises(UnreadableFile, match=r"no tensors under 'state_dict'. At the top there are: model"):
        open_source(tmp_path / "a.ckpt", only="state_dict")


def test_old_formats_and_modules(tmp_path):
    torch.save(state(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with open_source(tmp_path / "old.pt") as source:
        assert source.format == "torch legacy"
        np.testing.assert_array_equal(values(source)["transposed"], np.arange(12.0).reshape(3, 4).T)
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ParameterList([torch.ones(2)]))
    torch.save(net, tmp_path / "net.pt")
    with open_source(tmp_path / "net.pt") as source:
        assert [(e.name, e.parameter) for e in source.entries] == [("1.0", True)]
        assert source.classes[""] == "torch.nn.modules.container.Sequential"


def test_a_class_that_is_not_known(tmp_path):
    class Config:
        pass

    thing = Config()
    thing.rate, thing.table = 0.1, torch.ones(2)
    Config.__module__, Config.__qualname__ = "nowhere", "Config"
    import sys
    import types

    sys.modules["nowhere"] = types.SimpleNamespace(Config=Config)
    try:
        torch.save({"w": torch.zeros(2), "config": thing}, tmp_path / "a.pth")
    finally:
        del sys.modules["nowhere"]
    with open_source(tmp_path / "a.pth") as source:
        assert source.classes == {"config": "nowhere.Config (stub)"}
        assert [e.name for e in source.entries] == ["w", "config.table"] and source.values == {"config.rate": 0.1}
        with pytest.raises(Unsuitable, match=r"config \(nowhere.Config \(stub\)\).*--tensors-only"):
            convert(source, tmp_path / "b.pth")
        convert(source, tmp_path / "b.pth", tensors_only=True)
    assert list(torch.load(tmp_path / "b.pth")) == ["w", "config.table"]


def test_renaming(saved, tmp_path):
    with open_source(saved) as source:
        convert(source, tmp_path / "b.pth", rename=renamer([r"^layer\.=body.", "weight=w"]))
        assert list(torch.load(tmp_path / "b.pth"))[:3] == ["body.w", "body.bias", "head.w"]
    with open_source(saved) as source, pytest.raises(Unsuitable, match="would become 'weight'"):
        convert(source, tmp_path / "c.pth", rename=renamer([r"^(layer|head)\.="]))
    with open_source(saved) as source, pytest.raises(Unsuitable, match="both become 'weight'"):
        convert(source, tmp_path / "c.safetensors", rename=renamer([r"^(layer|head)\.="]))
    with pytest.raises(Unsuitable, match=r"REGEX=REPLACEMENT, received 'abc'"):
        renamer(["abc"])
    with pytest.raises(Unsuitable, match="regular expression"):
        renamer(["(=x"])


def test_casts_report_overflow(tmp_path):
    torch.save({"a": torch.tensor([1e10, 1.0, float("inf")])}, tmp_path / "a.pth")
    with open_source(tmp_path / "a.pth") as source:
        assert convert(source, tmp_path / "b.safetensors", dtype=torch.float16).overflowed == {"a": 1}
        assert convert(source, tmp_path / "b.pth", dtype=torch.float16).overflowed == {"a": 1}
        assert convert(source, tmp_path / "b.pth", dtype=torch.bfloat16).overflowed == {}


def test_arguments():
    assert [parse_size(t) for t in ("5GB", "500 MB", "1GiB", "100")] == [5 * 10**9, 5 * 10**8, 2**30, 100]
    assert parse_dtype("bf16") is parse_dtype("torch.bfloat16") is torch.bfloat16
    for wrong in ("", "GB", "5 apples", "-1MB"):
        with pytest.raises(Unsuitable, match="5GB"):
            parse_size(wrong)
    with pytest.raises(Unsuitable, match=r"expected one of float16, bfloat16.*received 'int8'"):
        parse_dtype("int8")


def test_blocks_cover_an_array_once():
    for shape in ((), (0,), (5,), (3, 4), (1, 100), (2, 3, 50), (7, 1, 1)):
        array = np.zeros(shape)
        for part in blocks(shape, 10):
            assert array[part].size <= 10
            array[part] += 1
        assert (array == 1).all()


def header(table, data=b""):
    text = json.dumps(table).encode() if not isinstance(table, bytes) else table
    return struct.pack("<Q", len(text)) + text + data


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file, or cut short"),
        (b"\xff" * 20, "not a safetensors file, or cut short"),
        (header(b"{"), "not JSON"),
        (header(b'{"a": 1, "a": 2}'), "occurs twice"),
        (header(["a"]), "no object"),
        (header({"a": TENSOR}), "expected .* bytes, received .*cut short"),
        (header({"a": TENSOR}, b"\0" * 9), "cut short or added to"),
        (header({"a": TENSOR | {"dtype": "F3"}}, b"\0" * 8), "the dtype 'F3'"),
        (header({"a": TENSOR | {"shape": [3]}}, b"\0" * 8), "does not fill"),
        (header({"a": TENSOR | {"shape": [-2, -1]}}, b"\0" * 8), "does not fill"),
        (header({"a": TENSOR, "b": TENSOR}, b"\0" * 8), "overlap or leave gaps"),
        (header({"a": TENSOR | {"data_offsets": [4, 12]}}, b"\0" * 12), "overlap or leave gaps"),
        (header({"a": 3}), "no proper data_offsets"),
        (header({"__metadata__": {"a": 1}}), "text metadata"),
    ],
)
def test_safetensors_that_contradict_themselves(tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=message):
        open_source(path)


def test_files_that_are_not_there_or_no_checkpoints(tmp_path):
    with pytest.raises(UnreadableFile, match="No such file"):
        open_source(tmp_path / "a.pth")
    with pytest.raises(UnreadableFile, match="found none"):
        open_source(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"hello, this is text")
    with pytest.raises(UnreadableFile, match=r"a\.pth: Invalid magic number"):
        open_source(tmp_path)
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "../a.pth"}}')
    with pytest.raises(UnreadableFile, match="files of the same folder"):
        open_source(tmp_path)
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}')
    with pytest.raises(UnreadableFile, match="No such file"):
        open_source(tmp_path)


def test_a_file_is_not_read_whole(tmp_path):
    """Casting a file of 16 tensors holds one of them at a time."""
    import tracemalloc

    torch.save({f"w{i}": torch.full((1 << 18,), float(i)) for i in range(16)}, tmp_path / "a.pth")
    tracemalloc.start()
    with open_source(tmp_path / "a.pth") as source:
        convert(source, tmp_path / "b.pth", dtype=torch.float64)
        convert(source, tmp_path / "b.safetensors", dtype=torch.float64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * (1 << 21), f"{peak:,} bytes at once, for tensors of {1 << 21:,} bytes"


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_what_was_read_does_not_stay_in_memory(tmp_path, kind):
    """Pages of a mapped file that were read are given back, tensor by tensor."""
    pytest.importorskip("resource")
    from processes import run_code

    state = {f"w{i}": torch.full((1 << 20,), float(i)) for i in range(64)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=kind == "zip")
    code = """
        import resource
        from rushlight.inspect import open_source, statistics

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with open_source("a.pth") as source:
            first = source.entries[0]
            statistics(source.chunks(first), first.count)
            before = peak()
            for entry in source.entries:
                assert statistics(source.chunks(entry), entry.count).max == float(entry.name[1:])
            print(peak() - before)
    """
    assert int(run_code(code, cwd=tmp_path)) < 64 * 4096 // 4  # a quarter of the file, in kB


def npz(path, shape, data: bytes, compression=0):
    import io
    import zipfile

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", head.getvalue() + data)


def test_npz_files_that_lie(tmp_path, monkeypatch):
    for shape in ((1 << 40,), (-5,), (3, -1), (2,)):
        npz(tmp_path / "a.npz", shape, bytes(100))
        with pytest.raises(UnreadableFile, match=r"does not fill its \d+ bytes"):
            open_source(tmp_path / "a.npz")
    monkeypatch.setattr("rushlight.inspect.npz_file._MOST", 1 << 20)
    npz(tmp_path / "a.npz", (1 << 20,), bytes(4 << 20), 8)
    with pytest.raises(UnreadableFile, match=r"would become 4,194,\d+.*numpy\.savez"):
        open_source(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", a=np.random.default_rng(0).random(300_000))
    with open_source(tmp_path / "b.npz") as source:
        assert source.entries[0].count == 300_000


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "latin-1"])
def test_a_safetensors_header_is_read_as_utf_8_alone(tmp_path, encoding):
    header = '{"\xfc":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.encode(encoding)
    file = tmp_path / "other.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(UnreadableFile, match="header is not JSON"):
        open_source(file)
