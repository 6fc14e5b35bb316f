"""Folders of distributed checkpoints that are damaged or mean harm, and what the command line makes of sound ones."""

import io
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rushlight as torch
from rushlight.checkpoint.pickler import Pickler
from rushlight.cli.main import app
from rushlight.distributed import checkpoint as dcp
from rushlight.distributed.checkpoint import _contents
from rushlight.distributed.checkpoint import filesystem as files
from rushlight.distributed.checkpoint import metadata as records
from rushlight.distributed.checkpoint.state_dict_loader import load_all
from rushlight.dtypes import Size


@pytest.fixture
def folder(tmp_path):
    dcp.save({"w": torch.arange(6.0).reshape(2, 3), "epoch": 3}, checkpoint_id=tmp_path)
    return tmp_path


def rewrite(folder, change):
    contents = dcp.FileSystemReader(folder).read_metadata()
    change(contents)
    with open(folder / ".metadata", "wb") as file:
        Pickler(file, 4).dump(contents)


def elsewhere(path):
    def change(contents):
        for index, place in contents.storage_data.items():
            contents.storage_data[index] = replace(place, relative_path=path)

    return change


def resize(*size):
    def change(contents):
        entry = contents.state_dict_metadata["w"]
        entry.size = Size(size)
        entry.chunks = [records.ChunkStorageMetadata(Size((0,) * len(size)), Size(size))]

    return change


def with_chunk(offsets, sizes):
    def change(contents):
        contents.state_dict_metadata["w"].chunks = [records.ChunkStorageMetadata(Size(offsets), Size(sizes))]
        contents.storage_data[records.MetadataIndex("w", offsets)] = files._StorageInfo("__0_0.distcp", 0, 100)

    return change


def long_list(contents):
    contents.planner_data["epoch"] = ("a", 10**12)


def no_table(contents):
    contents.storage_data = None


@pytest.mark.parametrize(
    "change",
    [
        elsewhere("../__0_0.distcp"), elsewhere("/etc/passwd"), elsewhere("a\\b"), elsewhere(".."),
        resize(10**6, 10**6), with_chunk((1, 0), (2, 3)), with_chunk((0, 0), (1, 3)), with_chunk((0,), (2,)),
        long_list, no_table,
    ],
)  # fmt: skip
def test_unsound_tables_are_refused(folder, change):
    rewrite(folder, change)
    with pytest.raises(dcp.CheckpointException, match=r"metadata of a distributed checkpoint.*The file is damaged"):
        load_all(folder)


def test_a_piece_of_another_size_is_refused(folder):
    rewrite(folder, resize(3, 2))
    with pytest.raises(dcp.CheckpointException, match=r"expected size torch\.Size\(\[3, 2\]\), received torch\.Size"):
        load_all(folder)


def test_a_short_file_is_refused(folder):
    data = (folder / "__0_0.distcp").read_bytes()
    (folder / "__0_0.distcp").write_bytes(data[:-1000])
    with pytest.raises(dcp.CheckpointException, match="The file is damaged; save or download it again"):
        load_all(folder)


def test_extensions_are_refused(folder):
    rewrite(
        folder,
        lambda c: c.storage_data.update(
            {k: replace(v, transform_descriptors=["zstd"]) for k, v in c.storage_data.items()}
        ),
    )
    with pytest.raises(dcp.CheckpointException, match="is not supported by rushlight"):
        load_all(folder)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_nothing_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="blocked"):
        _contents.read(pickle.dumps(Harm()))
    with pytest.raises(pickle.UnpicklingError, match="instead of a table of contents"):
        _contents.read(pickle.dumps({"a": 1}))
    assert os.listdir(tmp_path) == []


def test_records_are_not_called_and_not_half_filled():
    file = io.BytesIO()
    Pickler(file, 4).dump(records.MetadataIndex("w", (0,)))
    whole = file.getvalue()
    with pytest.raises(pickle.UnpicklingError):
        _contents.read(whole.replace(b"fqn", b"fqx"))
    for data in (whole[:40], b"", whole[:-1]):
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            _contents.read(data)


def test_formats_written_by_name_are_read(folder, monkeypatch):
    encoding = records._MEM_FORMAT_ENCODING
    monkeypatch.setattr(encoding, "__reduce_ex__", lambda self, protocol: (getattr, (encoding, self.name)))
    rewrite(folder, lambda contents: None)
    assert b"TORCH_CONTIGUOUS_FORMAT" in (folder / ".metadata").read_bytes()
    assert load_all(folder)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("args", [("mro",), ("__class__",), ("TORCH_CHANNELS_LAST", 1), (("a", []),), ()], ids=str)
def test_other_attributes_of_formats_are_refused(folder, monkeypatch, args):
    encoding = records._MEM_FORMAT_ENCODING
    monkeypatch.setattr(encoding, "__reduce_ex__", lambda self, protocol: (getattr, (encoding, *args)))
    rewrite(folder, lambda contents: None)
    with pytest.raises(dcp.CheckpointException, match="memory format in the metadata"):
        load_all(folder)


def test_other_planners_and_formats_are_refused(tmp_path):
    class Mine(dcp.DefaultSavePlanner):
        pass

    with pytest.raises(NotImplementedError, match="A planner of the kind Mine"):
        dcp.save({}, checkpoint_id=tmp_path, planner=Mine())
    with pytest.raises(NotImplementedError, match="serialization_format"):
        dcp.FileSystemWriter(tmp_path, serialization_format=files.SerializationFormat.SAFETENSORS)


def test_the_command_line_takes_such_a_folder(tmp_path):

    from rushlight.inspect.source import open_source

    model = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3, dtype=torch.bfloat16)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 3, "list": [torch.ones(1), "x"]}
    dcp.save(state, checkpoint_id=tmp_path / "run")
    with open_source(tmp_path / "run") as source:
        assert source.format == "distributed checkpoint, 1 file"
        weight = next(entry for entry in source.entries if entry.name == "model.weight")
        assert (weight.shape, weight.dtype) == ((2, 3), torch.bfloat16)
        assert source.read(weight).tolist() == model.weight.tolist()
        assert source.values["epoch"] == 3

    def call(*words):
        done = CliRunner().invoke(app, [str(word) for word in words], obj=[])
        assert done.exit_code == 0, done.output
        return done.output

    assert "distributed checkpoint, 1 file" in call("inspect", tmp_path / "run")
    call("convert", tmp_path / "run", tmp_path / "whole.pth")
    call("convert", tmp_path / "run", tmp_path / "part.safetensors", "--only", "model")
    found = torch.load(tmp_path / "whole.pth")
    assert found["optim"]["param_groups"] == state["optim"]["param_groups"]
    assert found["model"]["weight"].tolist() == model.weight.tolist()
    assert found["list"][1] == "x"
    assert torch.load(tmp_path / "part.safetensors")["bias"].tolist() == model.bias.tolist()


def test_a_checkpoint_of_two_processes_of_pytorch():
    folder = Path(__file__).parents[1] / "golden" / "sharded"
    found = load_all(folder)
    expected = {
        "rows": torch.arange(15.0).reshape(5, 3), "columns": torch.arange(15.0).reshape(3, 5).bfloat16(),
        "one": torch.tensor([7]), "both": torch.arange(4),
    }  # fmt: skip
    assert list(found["model"]) == list(expected)
    for name, tensor in expected.items():
        assert found["model"][name].dtype is tensor.dtype
        assert found["model"][name].equal(tensor)
    assert (found["plain"].item(), found["epoch"]) == (2.5, 3)
    assert len(dcp.FileSystemReader(folder).read_metadata().state_dict_metadata["model.rows"].chunks) == 2
    state = {"model": {"rows": torch.zeros(5, 3)}}
    dcp.load(state, checkpoint_id=folder)
    assert state["model"]["rows"].equal(expected["rows"])
    assert load_all(folder, {"epoch"}) == {"epoch": 3}
