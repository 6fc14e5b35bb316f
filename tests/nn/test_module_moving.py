"""Owns the tests of moving and converting a module in place: ``to`` in all its forms, and the short ones.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import pytest
from module_programs import small

import rushlight as torch
from rushlight import nn

Small = small(torch)


def net():
    out = nn.Sequential(Small(), nn.Sequential(Small()))
    out[0].register_buffer("count", torch.tensor(3))
    return out


def dtypes(m):
    return {t.dtype for t in [*m.parameters(), *m.buffers()] if t.is_floating_point()}


@pytest.mark.parametrize("move, dtype", [
    (lambda m: m.double(), torch.float64),
    (lambda m: m.half(), torch.float16),
    (lambda m: m.bfloat16(), torch.bfloat16),
    (lambda m: m.double().float(), torch.float32),
    (lambda m: m.to(torch.float64), torch.float64),
    (lambda m: m.to(dtype=torch.float16), torch.float16),
    (lambda m: m.to("cpu"), torch.float32),
    (lambda m: m.to(torch.device("cpu")), torch.float32),
    (lambda m: m.to(device="cpu"), torch.float32),
    (lambda m: m.to("cpu", torch.float64), torch.float64),
    (lambda m: m.to("cpu", torch.float64, True), torch.float64),
    (lambda m: m.to(device="cpu", dtype=torch.float64, non_blocking=True), torch.float64),
    (lambda m: m.to(torch.ones(1, dtype=torch.bfloat16)), torch.bfloat16),
    (lambda m: m.to(tensor=torch.ones(1, dtype=torch.float64)), torch.float64),
    (lambda m: m.to(memory_format=torch.channels_last), torch.float32),
    (lambda m: m.cpu(), torch.float32),
    (lambda m: m.share_memory(), torch.float32),
])  # fmt: skip
def test_floating_point_is_converted_in_place_and_integers_stay(move, dtype):
    m = net()
    before = list(m.parameters())
    assert move(m) is m
    assert dtypes(m) == {dtype} and m[0].count.dtype is torch.int64
    assert all(a is b for a, b in zip(before, m.parameters(), strict=True))
    assert all(type(p) is nn.Parameter and p.is_leaf and p.requires_grad for p in before)


@pytest.mark.parametrize("kind", [torch.float64, "torch.DoubleTensor", torch.int64])
def test_type_converts_integers_too(kind):
    m = net().requires_grad_(False)
    m.type(kind)
    wanted = torch.int64 if kind is torch.int64 else torch.float64
    assert {t.dtype for t in [*m.parameters(), *m.buffers()]} == {wanted}


def test_gradients_move_along_and_an_optimizer_keeps_its_hold():
    m = Small()
    optimizer = torch.optim.SGD(m.parameters(), lr=1.0)
    m(torch.ones(2)).sum().backward()
    grad = m.weight.grad
    m.double()
    assert m.weight.grad is grad and grad.dtype is torch.float64
    optimizer.step()
    assert m.weight.dtype is torch.float64 and m.weight.tolist() == [-1.0, 0.0]


def test_values_survive():
    m = Small(3)
    m.to(torch.float64).to(torch.float32)
    assert m.weight.tolist() == [0.0, 1.0, 2.0] and m.bias.tolist() == [1.0] * 3


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.uint8])
def test_only_floating_point_or_complex(dtype):
    with pytest.raises(TypeError, match=r"nn.Module.to only accepts floating point or complex dtypes, but got desired"):
        net().to(dtype)


def test_complex_warns():
    with pytest.warns(UserWarning, match="Complex modules are a new feature"):
        m = Small().to(torch.complex64)
    assert m.weight.dtype is torch.complex64


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(RuntimeError, match=r"(?i)tpu"):
        net().to("tpu")
    with pytest.raises(RuntimeError, match=r"(?i)expected one of|device"):
        net().to("nonsense")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu():
    m = net()
    for move in (m.cuda, lambda: m.to("cuda"), lambda: m.cuda(0), lambda: m.to(0)):
        with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda|gpu"):
            move()
    assert dtypes(m) == {torch.float32} and all(p.device.type == "cpu" for p in m.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_cuda_with_a_gpu():
    m = net().cuda()
    assert all(t.device.type == "cuda" for t in [*m.parameters(), *m.buffers()])
    assert all(t.device.type == "cpu" for t in m.cpu().parameters())


def test_to_refuses_what_it_does_not_know():
    with pytest.raises(TypeError):
        net().to("cpu", torch.ones(1))
    with pytest.raises(TypeError):
        net().to(unknown=1)


def test_to_empty():
    m = net()
    first = m[0].weight
    assert m.to_empty(device="cpu") is m and m[0].weight is first and first.shape == (2,)
    m.to_empty(device="meta")
    assert m[0].weight is not first and m[0].weight.is_meta and type(m[0].weight) is nn.Parameter
    assert all(t.is_meta for t in [*m.parameters(), *m.buffers()])
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        m.to("cpu")
    m.to_empty(device="cpu")
    assert m[0].weight.device.type == "cpu" and m[0].weight.requires_grad and m[0].weight.shape == (2,)


def test_to_empty_of_one_level():
    m = net()
    m.own = nn.Parameter(torch.ones(1))
    m.to_empty(device="meta", recurse=False)
    assert m.own.is_meta and not m[0].weight.is_meta


def test_made_on_meta_and_loaded_by_assignment():
    with torch.device("meta"):
        m = Small()
    assert m.weight.is_meta
    m.load_state_dict(Small().state_dict(), assign=True)
    assert m.weight.tolist() == [0.0, 1.0] and isinstance(m.weight, nn.Parameter) and m.weight.requires_grad


def test_apply_to_tensors_is_the_door_for_all_of_them():
    """Subclasses override ``_apply`` to convert what they keep elsewhere."""

    class Own(Small):
        def _apply(self, fn, recurse=True):
            self.kept = fn(self.kept)
            return super()._apply(fn, recurse)

    m = nn.Sequential(Own())
    m[0].kept = torch.ones(1)
    assert m.double()[0].kept.dtype is torch.float64
    assert m.to("cpu", torch.float32)[0].kept.dtype is torch.float32
