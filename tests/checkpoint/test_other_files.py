"""What the reader says of files that are no checkpoints, and of archives that another function wrote."""

import gzip
import io
import pickle
import zipfile

import numpy as np
import pytest

import rushlight as torch
from rushlight.checkpoint import load
from rushlight.inspect import UnreadableFile, open_source


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page.*login"),
        (gzip.compress(b"x", mtime=0), "a gzip archive.*gunzip"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x93NUMPY\x01\0", "numpy.load"),
        (b"\x10\0\0\0\0\0\0\0{}", r"ends in \.safetensors"),
        (bytes(100), "received zeros.*Download it again"),
        (b"hello there, what is this", "of another kind, which begins with b'hello there,'"),
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_files_of_other_kinds(tmp_path, data, message, weights_only):
    with pytest.raises(pickle.UnpicklingError, match=f"(?s)Invalid magic number; corrupt file.*{message}"):
        load(io.BytesIO(data), weights_only=weights_only)
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(UnreadableFile, match=f"a.pt: Invalid magic number.*{message}"):
        open_source(tmp_path / "a.pt")


def test_a_pickle_of_something_else():
    with pytest.raises(RuntimeError, match="a pickle that something else wrote"):
        load(io.BytesIO(pickle.dumps({"a": 1}, 2)))


@pytest.mark.parametrize("weights_only", [True, False])
def test_other_archives(weights_only):
    file = io.BytesIO()
    np.savez(file, a=np.ones(3))
    with pytest.raises(EOFError, match=r"nothing after position \d+\. Call seek\(0\)"):
        load(file, weights_only=weights_only)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"numpy\.savez.*numpy\.load"):
        load(file, weights_only=weights_only)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # torch.jit.save compresses the code
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"net/{name}", b"def forward(self): pass\n" * 10)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"TorchScript.*torch\.jit\.load\(path\)\.state_dict\(\)"):
        load(file, weights_only=weights_only)


def test_arrays_of_objects_name_the_way_to_open_them():
    file = io.BytesIO()
    torch.save({"a": np.array(["x", None], dtype=object)}, file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"Load with `weights_only=False`, where such arrays become stubs"):
        load(file)
    file.seek(0)
    assert "Stub" in repr(load(file, weights_only=False)["a"])
