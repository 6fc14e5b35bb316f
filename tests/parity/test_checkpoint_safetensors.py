"""Owns the comparison of safetensors files with what the library's PyTorch side reads and writes.

May import rushlight, torch and safetensors.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file, load_model, save_file, save_model  # noqa: E402

from rushlight import nn  # noqa: E402
from rushlight.checkpoint import load, save, save_sharded  # noqa: E402

pytestmark = pytest.mark.parity

DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu",
]  # fmt: skip


def state():
    raw = torch.arange(1, 33, dtype=torch.uint8)
    out = {name: raw.view(getattr(torch, name)).clone() for name in DTYPES if name != "bool"}
    return out | {
        "bool": raw % 2 == 0,
        "scalar": torch.tensor(2.5),
        "empty": torch.ones(0, 3),
        "deep": torch.ones(2, 1, 3),
    }


def test_their_files(tmp_path):
    save_file(state(), tmp_path / "x.safetensors", metadata={"format": "pt", "a": "b"})
    ours = load(tmp_path / "x.safetensors")
    assert ours.metadata == {"format": "pt", "a": "b"}
    for name, theirs in state().items():
        assert repr(ours[name].dtype) == repr(theirs.dtype) and tuple(ours[name].shape) == tuple(theirs.shape)
        assert np.asarray(ours[name]._array()).tobytes() == bytes(theirs.reshape(-1).view(torch.uint8).numpy())


def test_our_files(tmp_path):
    save_file(state(), tmp_path / "x.safetensors")
    save(load(tmp_path / "x.safetensors"), tmp_path / "y.safetensors")
    read = load_file(tmp_path / "y.safetensors")
    for name, theirs in state().items():
        assert read[name].dtype is theirs.dtype and torch.equal(
            read[name].reshape(-1).view(torch.uint8), theirs.reshape(-1).view(torch.uint8)
        )


def tied(t):
    class Tied(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = t.nn.Embedding(4, 3), t.nn.Linear(3, 4, bias=False)
            self.head.weight = self.embed.weight

    return Tied()


def test_ties_cross_in_both_directions(tmp_path):
    import rushlight

    theirs, ours = tied(torch), tied(rushlight)
    save_model(theirs, tmp_path / "x.safetensors")
    ours.load_state_dict(load(tmp_path / "x.safetensors"))
    assert ours.embed.weight.tolist() == theirs.embed.weight.tolist() and ours.head.weight is ours.embed.weight
    with rushlight.no_grad():
        ours.embed.weight.fill_(2.0)
    save(ours, tmp_path / "y.safetensors")
    assert load_model(theirs, tmp_path / "y.safetensors") == (set(), [])
    assert theirs.head.weight.tolist() == [[2.0] * 3] * 4


def test_a_sharded_set_is_readable_file_by_file(tmp_path):
    model = nn.Sequential(*(nn.Linear(10, 10) for _ in range(3)))
    save_sharded(model, tmp_path, 500)
    parts: dict = {}
    for path in tmp_path.glob("*.safetensors"):
        parts |= load_file(path)
    twin = torch.nn.Sequential(*(torch.nn.Linear(10, 10) for _ in range(3)))
    assert str(twin.load_state_dict(parts)) == "<All keys matched successfully>"
    assert twin[2].weight.tolist() == model[2].weight.tolist()
