"""Contents that are made on first use: they read as if they had been made at once."""

import copy
import pickle

import jax
import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight._tensor.storage import Storage
from rushlight._tensor.unread import LazyStorage
from rushlight.random import continuous
from rushlight.random.mt19937 import Engine

SIZE = 5000


def waits(tensor):
    """Whether nobody has read the tensor's contents yet."""
    return type(tensor._storage) is LazyStorage


def test_empty_takes_no_memory_before_it_is_read():
    x = torch.empty(3, 10**12, 10**6)
    assert waits(x) and x.shape == (3, 10**12, 10**6) and x.stride() == (10**18, 10**6, 1) and x.dtype is torch.float32
    y = torch.empty(2, 3, dtype=torch.int8)
    assert y.tolist() == [[0, 0, 0], [0, 0, 0]] and type(y._storage) is Storage
    assert waits(torch.empty_like(y)) and waits(y.new_empty(2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [SIZE, SIZE + 1, SIZE + 8, 1 << 18])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_draws_wait(kind, size, dtype):
    torch.manual_seed(7)
    x = torch.empty(size, dtype=dtype)
    getattr(x, kind + "_")(-0.5, 1.5)
    after = torch.get_rng_state().numpy()
    engine = Engine(7)
    values = getattr(continuous, kind)(engine, size, -0.5, 1.5, dtype.np)
    np.testing.assert_array_equal(after, engine.get_state())
    assert waits(x)
    np.testing.assert_array_equal(x._host(), values)
    assert not waits(x)


def test_everyone_who_shares_the_storage_sees_the_draw():
    x = torch.ones(SIZE)
    other, head = x.detach(), x[:2]
    version = x._version
    x.uniform_(3.0, 4.0)
    assert x._version == version + 1 and waits(other)
    assert head.tolist() == other[:2].tolist() == x[:2].tolist() and bool((other >= 3).all())


def test_each_copy_has_the_same_values():
    layer = nn.Linear(100, 100)
    assert waits(layer.weight) and waits(layer.bias)
    twin, loaded = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    assert waits(layer.bias) is False
    for one in (twin, loaded):
        np.testing.assert_array_equal(one.weight.detach().numpy(), layer.weight.detach().numpy())


def test_first_read_inside_a_trace():
    layer = nn.BatchNorm1d(SIZE)
    x = torch.empty(SIZE).normal_()
    weight = nn.Linear(100, 100).weight

    @jax.jit
    def traced(a):
        return (torch.Tensor._of(a) * x * layer.weight + weight.sum())._array()

    assert waits(x) and waits(layer.weight) and waits(weight)
    first = np.asarray(traced(np.ones(SIZE, np.float32)))
    for tensor in (x, layer.weight, weight):
        assert isinstance(tensor._array(), jax.Array) and not isinstance(tensor._array(), jax.core.Tracer)
    np.testing.assert_allclose(first, (x + weight.sum()).detach().numpy(), rtol=1e-4, atol=1e-4)


def test_inside_a_compiled_function_nothing_waits():
    @torch.compile
    def step(x):
        made = torch.empty(3)
        made.fill_(2.0)
        return x * made

    assert step(torch.ones(3)).tolist() == [2.0, 2.0, 2.0]


def test_a_load_leaves_what_it_replaces_unread():
    layer = nn.Sequential(nn.Linear(100, 100), nn.BatchNorm1d(100))
    torch.manual_seed(0)
    unread, other = nn.Linear(100, 100), nn.Linear(100, 100)
    held = layer[0].weight._storage.form
    layer.load_state_dict({f"0.{k}": v for k, v in other.state_dict().items()}, strict=False)
    assert held.read is not None and not waits(layer[0].weight) and waits(layer[1].weight)
    with pytest.raises(RuntimeError, match="size mismatch"):
        unread.load_state_dict({"weight": torch.ones(100, 100), "bias": torch.ones(3)})
    assert waits(unread.weight)
    torch.manual_seed(0)
    np.testing.assert_array_equal(unread.weight.detach().numpy(), nn.Linear(100, 100).weight.detach().numpy())


def test_refusals_do_not_wait():
    x = torch.empty(SIZE)
    for bounds in ((1.0, 0.0), (-1e39, 0.0)):
        with pytest.raises(RuntimeError, match=r"uniform_ expects|out of bounds"):
            x.uniform_(*bounds)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.requires_grad_().normal_()
    assert x.detach().sum().item() == 0.0


def test_writes_with_a_history_do_not_wait():
    x = torch.ones(SIZE, requires_grad=True)
    y = x * 2
    y.uniform_()
    assert not waits(y)
