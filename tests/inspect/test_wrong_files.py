"""Owns the tests of what the tools say to files that are not what their names tell, and to what is no file."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

import rushlight as torch
from rushlight.inspect import open_source
from rushlight.inspect.source import UnreadableFile
from rushlight.inspect.verify import verify


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.safetensors", r"expected a safetensors file, received a zip archive\. Name it"),
        ("x.npz", r"expected an archive of numpy, received one of torch\.save\. Name it"),
        ("x.index.json", "expected JSON, the index of a sharded set"),
    ],
)
def test_a_file_of_torch_under_another_name(tmp_path, name, message):
    torch.save({"x": torch.ones(2)}, tmp_path / "x.pt")
    shutil.copy(tmp_path / "x.pt", tmp_path / name)
    for look in (open_source, verify):
        with pytest.raises(UnreadableFile, match=message):
            look(tmp_path / name)
    np.savez(tmp_path / "data.npz", data=np.ones(2))  # an array may have any name
    with open_source(tmp_path / "data.npz") as opened:
        assert [e.name for e in opened.entries] == ["data"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.timeout(60)
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")  # reading it would wait for somebody who writes
    for path in (tmp_path / "pipe.pt", "/dev/null"):
        for look in (open_source, verify):
            with pytest.raises(UnreadableFile, match="expected a file, which can be read at any place"):
                look(path)
