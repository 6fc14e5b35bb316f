"""Owns the comparison of complex32 with PyTorch: files in both directions, conversions, and what a tensor says of itself.

May import rushlight, torch (the oracle) and numpy.
"""

from __future__ import annotations

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight  # noqa: E402
from rushlight.checkpoint import load, save  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:.*ComplexHalf:UserWarning"),
              pytest.mark.filterwarnings("ignore:Complex modules are")]  # fmt: skip
ALL = np.stack([np.arange(1 << 16, dtype=np.uint16), np.arange(1 << 16, dtype=np.uint16)[::-1]], 1)
# What torch writes in the format before 1.6 with storages that have no type, it cannot read.
LAYOUTS = [{}, {"pickle_protocol": 5}]
OLD = {"_use_new_zipfile_serialization": False}


def of_bits(bits: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(bits).view(np.int16)).view(torch.float16).view(torch.complex32)


def bits_of(tensor) -> np.ndarray:
    raw = bytes(tensor.untyped_storage())
    return np.frombuffer(raw, np.uint16).reshape(-1, 2)


def read_by_torch(file):
    return torch.load(file, weights_only=False)


def through(write, read, obj, **options):
    file = io.BytesIO()
    write(obj, file, **options)
    file.seek(0)
    return read(file)


@pytest.mark.parametrize("options", [*LAYOUTS, OLD], ids=("zip", "protocol 5", "legacy"))
def test_files_of_torch_come_back_bit_for_bit(options):
    theirs = of_bits(ALL).view(256, 256)
    state = {"all": theirs, "turned": theirs.t(), "row": theirs[3, 2:], "scalar": theirs[1, 1],
             "parameter": torch.nn.Parameter(theirs), "empty": theirs[:0]}  # fmt: skip
    ours = through(torch.save, load, state, **options)
    for name, wanted in state.items():
        assert ours[name].dtype is rushlight.complex32 and tuple(ours[name].shape) == tuple(wanted.shape)
        assert ours[name].stride() == wanted.stride() and ours[name].storage_offset() == wanted.storage_offset()
        assert ours[name].element_size() == wanted.element_size() and ours[name].nbytes == wanted.nbytes
        assert ours[name].requires_grad == wanted.requires_grad
    again = through(save, read_by_torch, ours, **(options if options is not OLD else {}))
    for name, wanted in state.items():
        assert again[name].dtype is torch.complex32 and again[name].stride() == wanted.stride()
        assert np.array_equal(bits_of(again[name]), ALL), name
    assert len({value.untyped_storage().data_ptr() for value in again.values()}) == 1


@pytest.mark.parametrize("options", LAYOUTS, ids=("zip", "protocol 5"))
def test_files_of_ours_are_read_by_torch(options):
    numbers = [[1 + 0.1j, 65519.0, 65520.0], [1e-8j, -0.0, 5.9604645e-08]]
    ours = rushlight.tensor(numbers, dtype=rushlight.complex32)
    theirs = torch.tensor(numbers, dtype=torch.complex64).to(torch.complex32)
    found = through(save, read_by_torch, {"x": ours, "part": ours[:, 1], "d": rushlight.complex32}, **options)
    assert found["x"].dtype is torch.complex32 is found["d"] and found["part"].stride() == (3,)
    assert np.array_equal(bits_of(found["x"]), bits_of(theirs))
    assert found["x"].untyped_storage().nbytes() == ours.untyped_storage().nbytes() == 24


def test_conversions_round_as_torchs():
    source = np.random.default_rng(0)
    wide = (source.standard_normal((4000, 2)) * 10.0 ** source.integers(-9, 6, (4000, 2))).astype(np.float32)
    ours, theirs = rushlight.from_numpy(wide.view(np.complex64)), torch.from_numpy(wide.view(np.complex64))
    found = through(save, read_by_torch, ours.chalf())
    assert np.array_equal(bits_of(found), bits_of(theirs.to(torch.complex32)))
    ours = rushlight.from_numpy(wide.astype(np.float64).view(np.complex128)).to(rushlight.complex32)
    theirs = torch.from_numpy(wide.astype(np.float64).view(np.complex128)).to(torch.complex32)
    assert np.array_equal(bits_of(through(save, read_by_torch, ours)), bits_of(theirs))
    real = rushlight.from_numpy(wide[:, 0].copy()).chalf()
    assert np.array_equal(
        bits_of(through(save, read_by_torch, real)), bits_of(torch.from_numpy(wide[:, 0].copy()).to(torch.complex32))
    )


def test_what_a_tensor_says_of_itself():
    numbers = [[1.5 + 2j, -3, 0.25j], [1e-4, 100.125, 2 - 1j]]
    ours = rushlight.tensor(numbers, dtype=rushlight.complex32)
    theirs = torch.tensor(numbers, dtype=torch.complex64).to(torch.complex32)
    assert repr(ours) == repr(theirs) and repr(ours[0, 1]) == repr(theirs[0, 1])
    assert repr(ours.dtype) == repr(theirs.dtype) and ours.type() == theirs.type()
    assert ours.tolist() == theirs.tolist() and ours[0, 1].item() == theirs[0, 1].item()
    assert ours.is_complex() == theirs.is_complex() and ours.itemsize == theirs.itemsize
    ours_limits, their_limits = rushlight.finfo(rushlight.complex32), torch.finfo(torch.complex32)
    for name in ("bits", "eps", "max", "min", "tiny", "dtype"):
        assert getattr(ours_limits, name) == getattr(their_limits, name)
    assert ours.to(rushlight.complex64).tolist() == theirs.to(torch.complex64).tolist()
    assert repr(rushlight.complex32.to_real()) == repr(torch.complex32.to_real())
    for name in ("itemsize", "is_complex", "is_floating_point", "is_signed"):
        assert getattr(rushlight.complex32, name) == getattr(torch.complex32, name)


def test_models():
    theirs = torch.nn.Linear(3, 2).to(torch.complex64).to(torch.complex32)
    ours = rushlight.nn.Linear(3, 2).to(rushlight.complex64).to(rushlight.complex32)
    ours.load_state_dict(through(torch.save, load, theirs.state_dict()))
    assert ours.weight.dtype is rushlight.complex32 and ours.weight.tolist() == theirs.weight.tolist()
    again = through(save, read_by_torch, ours.state_dict())
    theirs.load_state_dict(again)
    assert np.array_equal(bits_of(again["weight"]), bits_of(theirs.weight.data))
    wide = rushlight.nn.Linear(3, 2).to(rushlight.complex64)
    wide.load_state_dict(through(torch.save, load, theirs.state_dict()))
    assert wide.weight.dtype is rushlight.complex64 and wide.bias.tolist() == theirs.bias.tolist()
