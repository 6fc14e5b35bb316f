"""Owns the tests of ``DataParallel`` and ``DistributedDataParallel`` around and inside a model, on one device.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import copy

import pytest
from module_programs import small

import rushlight as torch
import rushlight.distributed as dist
from rushlight import nn
from rushlight.nn.parallel import DataParallel, DistributedDataParallel, data_parallel

Small = small(torch)
BOTH = pytest.mark.parametrize("wrap", [DataParallel, DistributedDataParallel])
KEYS = ["weight", "bias", "mean"]


@BOTH
def test_names_gain_module(wrap):
    m = Small()
    net = wrap(m)
    assert list(net.state_dict()) == [f"module.{key}" for key in KEYS] and net.module is m
    assert [n for n, _ in net.named_parameters()] == ["module.weight", "module.bias"]
    assert repr(net) == f"{wrap.__name__}(\n  (module): Small(2)\n)"
    assert next(net.parameters()) is m.weight


@BOTH
def test_inside_and_around(wrap):
    net = wrap(nn.Sequential(Small(), wrap(nn.Sequential(Small()))))
    assert list(net.state_dict())[::3] == ["module.0.weight", "module.1.module.0.weight"]


@BOTH
def test_results_and_gradients_are_those_of_the_model(wrap):
    m, x = Small(), torch.ones(4, 2)
    net = wrap(copy.deepcopy(m))
    assert net(x).tolist() == m(x).tolist()
    net(x).sum().backward()
    m(x).sum().backward()
    assert net.module.weight.grad.tolist() == m.weight.grad.tolist()


@BOTH
def test_a_state_dict_goes_in_and_out_with_the_prefix_taken_off(wrap):
    net, m = wrap(Small()), Small()
    with torch.no_grad():
        net.module.weight.fill_(9)
    m.load_state_dict({key.removeprefix("module."): t for key, t in net.state_dict().items()})
    assert m.weight.tolist() == [9.0, 9.0]
    m.load_state_dict(net.module.state_dict())
    net.load_state_dict(net.state_dict())


@BOTH
def test_mode_and_nested_arguments_go_through(wrap):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, pair, *, more):
            return {"sum": pair[0] + pair[1]["x"] + more * self.w, "training": self.training}

    net = wrap(Nested()).eval()
    out = net((torch.ones(1), {"x": torch.ones(1)}), more=torch.ones(1))
    assert out["sum"].item() == 3 and out["training"] is False


def test_data_parallel_as_a_function():
    m, x = Small(), torch.ones(4, 2)
    assert data_parallel(m, x).tolist() == m(x).tolist()


def test_data_parallel_attributes():
    net = DataParallel(Small(), dim=1)
    assert net.dim == 1 and isinstance(net.device_ids, list)
    assert nn.DataParallel is DataParallel


def test_distributed_needs_something_to_train():
    with pytest.raises(RuntimeError, match="is not needed when module doesn't have any parameters that require a grad"):
        DistributedDataParallel(nn.Module())
    with pytest.raises(RuntimeError):
        DistributedDataParallel(Small().requires_grad_(False))
    with pytest.raises(ValueError, match="device_ids can only be None or contain a single element"):
        DistributedDataParallel(Small(), device_ids=[0, 1])


def test_distributed_refuses_what_it_cannot_do():
    with pytest.raises(NotImplementedError, match="mixed_precision"):
        DistributedDataParallel(Small(), mixed_precision=object())
    with pytest.raises(NotImplementedError, match="register_comm_hook"):
        DistributedDataParallel(Small()).register_comm_hook(None, print)


def test_no_sync_accumulates():
    net = DistributedDataParallel(Small())
    with net.no_sync():
        assert not net.require_backward_grad_sync
        net(torch.ones(2)).sum().backward()
    net(torch.ones(2)).sum().backward()
    assert net.require_backward_grad_sync and net.module.weight.grad.tolist() == [2.0, 2.0]
    with net.join():
        net(torch.ones(2))


@pytest.fixture
def group():
    dist.init_process_group("gloo")
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def test_one_process(group):
    assert dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo"
    assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
    t = torch.ones(2)
    dist.all_reduce(t)
    dist.broadcast(t, 0)
    dist.barrier()
    assert t.tolist() == [1.0, 1.0] and dist.all_reduce(t, async_op=True).wait()
    into = [torch.zeros(2)]
    dist.all_gather(into, t)
    assert into[0].tolist() == [1.0, 1.0]
    objects = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    with pytest.raises(ValueError, match="trying to initialize the default process group twice!"):
        dist.init_process_group("gloo")
    assert DistributedDataParallel(Small())(torch.ones(2)).tolist() == [1.0, 2.0]


def test_a_group_of_some_processes(group):
    some = dist.new_group([0])
    assert isinstance(some, dist.ProcessGroup) and some.size() == 1 and some.backend == "gloo"
    dist.destroy_process_group(some)
    assert dist.is_initialized()
    with pytest.raises(ValueError, match=r"received \[0, 1\]"):
        dist.new_group([0, 1])
    assert dist.get_default_backend_for_device("cuda:1") == "nccl"
    with pytest.raises(ValueError, match="meta"):
        dist.get_default_backend_for_device("meta")


def test_without_a_group():
    assert not dist.is_initialized()
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.all_reduce(torch.ones(1))
    with pytest.raises(NotImplementedError, match="world_size=2"):
        dist.init_process_group("gloo", world_size=2, rank=0)
    assert not dist.is_initialized()
