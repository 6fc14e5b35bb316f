"""Owns the tests of mapped files, whose tensors are read on their first use.

May import rushlight, jax and numpy.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap

import pytest
from sparse_files import write_with_holes

import rushlight as torch
from rushlight import nn
from rushlight._tensor.storage import Storage
from rushlight._tensor.unread import LazyStorage
from rushlight.checkpoint import load, save


@pytest.fixture
def found(tmp_path):
    base = torch.arange(24.0)
    state = {
        "whole": base.view(4, 6), "turned": base.view(4, 6).t(), "part": base[3:7], "leaf": nn.Parameter(torch.ones(3)),
        "flags": torch.tensor([True, False]), "last": torch.ones(2, 4, 5, 3).permute(0, 3, 1, 2),
        "empty": torch.ones(0, 3),
    }  # fmt: skip
    save(state, tmp_path / "x.pt")
    return load(tmp_path / "x.pt", mmap=True)


def waiting(tensor) -> bool:
    return type(tensor._storage) is LazyStorage


def test_asking_about_a_tensor_does_not_read_it(found):
    for tensor in found.values():
        assert waiting(tensor)
        _ = tensor.shape, tensor.dtype, tensor.device, tensor.stride(), tensor.storage_offset(), tensor.ndim
        _ = tensor.numel(), tensor.nbytes, tensor.size(0), tensor.is_contiguous(), tensor.requires_grad, tensor.is_leaf
        _ = tensor.untyped_storage().nbytes(), tensor.data_ptr(), tensor.is_floating_point(), tensor.element_size()
        assert waiting(tensor)
    assert found["turned"].shape == (6, 4) and found["turned"].stride() == (1, 6)
    assert found["part"].shape == (4,) and found["part"].storage_offset() == 3 and found["part"].dtype is torch.float32
    assert found["last"].is_contiguous(memory_format=torch.channels_last) and found["leaf"].requires_grad
    assert all(map(waiting, found.values()))


def test_the_first_use_reads_and_only_that_storage(found):
    assert found["turned"][1].tolist() == [1.0, 7.0, 13.0, 19.0]
    assert not waiting(found["turned"]) and type(found["whole"]._storage) is Storage
    assert found["whole"]._storage is found["turned"]._storage is found["part"]._storage
    assert waiting(found["last"]) and waiting(found["leaf"])
    assert found["part"].tolist() == [3.0, 4.0, 5.0, 6.0] and found["whole"].sum().item() == 276.0
    assert found["flags"].tolist() == [True, False] and found["empty"].tolist() == []


def test_writing_is_seen_by_all_views(found):
    turned, whole, part = found["turned"], found["whole"], found["part"]
    turned[0, 0] = 100.0
    assert whole[0, 0].item() == 100.0
    part.fill_(-1.0)
    assert whole[0].tolist() == [100.0, 1.0, 2.0, -1.0, -1.0, -1.0] and turned[0].tolist()[1] == -1.0
    whole.zero_()
    assert turned.sum().item() == 0.0 == part.sum().item()


def test_a_view_that_was_not_read_sees_what_was_written_before(found):
    found["whole"].copy_(torch.zeros(4, 6))
    assert found["part"].tolist() == [0.0] * 4 and found["turned"].tolist() == [[0.0] * 4] * 6


def test_writing_without_reading(found):
    found["leaf"].detach().copy_(torch.full((3,), 5.0))
    assert found["leaf"].tolist() == [5.0] * 3 and not waiting(found["leaf"])


def test_training_copies_and_compilation(found):
    leaf = found["leaf"]
    (leaf * leaf).sum().backward()
    assert leaf.grad.tolist() == [2.0] * 3
    twin = copy.deepcopy(found["whole"])
    assert twin.tolist() == found["whole"].tolist()

    @torch.compile
    def step(x):
        return x * 2 + found["last"].sum()

    assert step(found["part"]).tolist() == [126.0, 128.0, 130.0, 132.0]


def test_views_inside_a_compiled_function(tmp_path):
    save({"t": torch.arange(6.0).view(2, 3).t()}, tmp_path / "x.pt")
    table = load(tmp_path / "x.pt", mmap=True)["t"]

    @torch.compile
    def use(x):
        return x @ table

    assert use(torch.ones(1, 3)).tolist() == [[3.0, 12.0]]


def test_changing_where_a_tensor_looks(found):
    found["turned"].data = found["leaf"].data
    assert found["turned"].shape == (3,) and found["turned"].tolist() == [1.0] * 3
    found["part"].data = found["whole"].data.t()
    assert found["part"].shape == (6, 4) and found["part"][1, 0].item() == 1.0


def test_a_model_takes_mapped_tensors(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model[0].weight = nn.Parameter(torch.randn(4, 3, 3, 3).permute(0, 3, 1, 2))
    save(model.state_dict(), tmp_path / "x.pt")
    for assign in (False, True):
        twin = nn.Sequential(nn.Conv2d(3, 4, 3))
        twin.load_state_dict(load(tmp_path / "x.pt", mmap=True), assign=assign)
        assert twin[0].weight.tolist() == model[0].weight.tolist()
        twin(torch.ones(1, 3, 5, 5)).sum().backward()
        torch.optim.SGD(twin.parameters(), lr=0.1).step()
        assert twin[0].weight.tolist() != model[0].weight.tolist()
    assert load(tmp_path / "x.pt")["0.weight"].tolist() == model[0].weight.tolist()


def test_a_replaced_file_does_not_change_what_was_mapped(tmp_path):
    path = tmp_path / "x.pt"
    save({"x": torch.ones(1000)}, path)
    old = load(path, mmap=True)["x"]
    save({"x": torch.zeros(1000)}, path)
    assert old.sum().item() == 1000.0 and load(path, mmap=True)["x"].sum().item() == 0.0


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's account of the process")
def test_listing_a_large_file_costs_little(tmp_path):
    """The file has holes, so that 2 GB cost no disk."""
    script = f"""
        import time
        import numpy as np
        import rushlight as torch
        from rushlight.checkpoint import load
        from rushlight.checkpoint.archive_writer import ArchiveWriter
        import rushlight.checkpoint.serialization as serialization

        def rss():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) // 1024

        load({str(tmp_path / "small.pt")!r}, mmap=True)
        before, began = rss(), time.perf_counter()
        found = load({str(tmp_path / "big.pt")!r}, mmap=True)
        listed = {{name: (tuple(t.shape), t.dtype, t.stride()) for name, t in found.items()}}
        took, grown = time.perf_counter() - began, rss() - before
        assert len(listed) == 512 and listed["t511"] == ((1024, 1024), torch.float32, (1, 1024)), listed["t511"]
        assert grown < 100, grown
        print("fine", took, grown)
    """
    save({"x": torch.ones(2)}, tmp_path / "small.pt")
    write_with_holes(tmp_path / "big.pt", 512)
    assert (tmp_path / "big.pt").stat().st_size > 2**31
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("fine"), done.stderr
