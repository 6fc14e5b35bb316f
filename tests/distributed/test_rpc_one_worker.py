"""Remote calls in a world of one process: what they give, where they run, and what is refused."""

import threading

import pytest
import rpc_programs

import rushlight as torch
from rushlight.distributed import autograd, optim, rpc


@pytest.fixture
def worker():
    rpc.init_rpc("worker0", rank=0, world_size=1)
    yield "worker0"
    if rpc._is_current_rpc_agent_set():
        rpc.shutdown()


def thread_of_the_call():
    return threading.current_thread().name


def both_wait(barrier_index):
    return BARRIER.wait(5) >= 0


BARRIER = threading.Barrier(2)


def failing():
    raise ValueError("bad")


def sent_twice(x):
    return rpc.rpc_sync("worker0", rpc_programs.scaled, args=(x,))


def test_calls_give_copies_from_threads(worker):
    x = torch.ones(2)
    assert rpc.rpc_sync(worker, rpc_programs.spoil, args=(x,)).tolist() == [0, 0]
    assert x.tolist() == [1, 1]
    assert rpc.rpc_sync(worker, thread_of_the_call) != threading.current_thread().name
    assert rpc.rpc_sync(worker, sent_twice, args=(x,)).tolist() == [2, 2]
    # Two calls at the same time: each waits for the other.
    later = [rpc.rpc_async(worker, both_wait, args=(i,)) for i in range(2)]
    assert [one.wait() for one in later] == [True, True]


def test_errors_name_the_worker(worker):
    with pytest.raises(ValueError, match=r"On WorkerInfo\(id=0, name=worker0\):\nValueError\('bad'\)\nTraceback"):
        rpc.rpc_sync(worker, failing)
    with pytest.raises(RuntimeError, match=r"set timeout \(50 ms\)"):
        rpc.rpc_sync(worker, rpc_programs.nap, args=(0.4,), timeout=0.05)
    rpc._set_rpc_timeout(0.05)
    with pytest.raises(RuntimeError, match=r"set timeout \(50 ms\)"):
        rpc.rpc_sync(worker, rpc_programs.nap, args=(0.4,))
    assert rpc.rpc_sync(worker, rpc_programs.nap, args=(0.1,), timeout=0) == 0.1
    with pytest.raises(RuntimeError, match="already initialized"):
        rpc.init_rpc(worker, rank=0, world_size=1)


def test_gradients_pass_through_calls_and_stay_apart(worker):
    x, w = torch.ones(2, requires_grad=True), torch.full((2,), 3.0, requires_grad=True)
    with autograd.context() as first:
        _unused = rpc.rpc_sync(worker, torch.mul, args=(x, 5))
        loss = (rpc.rpc_sync(worker, sent_twice, args=(x,)) * rpc.RRef(w).to_here()).sum()
        autograd.backward(first, [loss], retain_graph=True)
        autograd.backward(first, [loss])
        assert autograd.get_gradients(first)[x].tolist() == [12, 12]
        assert autograd.get_gradients(first)[w].tolist() == [4, 4]
        assert x.grad is None
    optimizer = optim.DistributedOptimizer(torch.optim.SGD, [rpc.RRef(w)], lr=0.5)
    with autograd.context() as second:
        assert second == first + 1
        autograd.backward(second, [(x * w).sum()])
        optimizer.step(second)
    assert w.tolist() == [2.5, 2.5]
    with pytest.raises(RuntimeError, match="Could not find autograd context"):
        autograd.get_gradients(second)


def test_remote_module_trains(worker):
    torch.manual_seed(0)
    model = torch.distributed.nn.RemoteModule("worker0/cpu", torch.nn.Linear, args=(2, 1))
    optimizer = optim.DistributedOptimizer(torch.optim.SGD, model.remote_parameters(), lr=0.1)
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0], [2.0], [3.0]])
    losses = []
    for _ in range(200):
        with autograd.context() as context:
            loss = torch.nn.functional.mse_loss(model(x), y)
            autograd.backward(context, [loss])
            optimizer.step(context)
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
    with pytest.raises(NotImplementedError, match="TorchScript"):
        torch.distributed.nn.RemoteModule("worker0/cpu", torch.nn.ReLU, _module_interface_cls=int)


def test_more_than_one_process_is_refused(monkeypatch):
    with pytest.raises(NotImplementedError, match="world_size=1"):
        rpc.init_rpc("worker0", rank=0, world_size=2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(NotImplementedError, match=r"jax\.distributed"):
        rpc.init_rpc("worker0")
    with pytest.raises(ValueError, match="rank 0"):
        rpc.init_rpc("worker0", rank=1, world_size=1)
    assert not rpc._is_current_rpc_agent_set()


def test_options():
    options = rpc.TensorPipeRpcBackendOptions(device_maps={"worker1": {"cpu": "cuda:1"}}, devices=["cuda:0"])
    assert [str(device) for device in options.devices] == ["cuda:0"]
    with pytest.raises(ValueError, match="1-to-1"):
        options.set_device_map("worker1", {"cpu": "cuda:0"})
    with pytest.raises(ValueError, match="1-to-1"):
        options.set_device_map("worker2", {"cpu": "cuda:0", "cuda:1": "cuda:0"})
    with pytest.raises(ValueError, match="list of CUDA devices"):
        options.set_devices(["cpu"])
    with pytest.raises(NotImplementedError, match="_transports"):
        rpc.TensorPipeRpcBackendOptions(_transports=["shm"])
    made = rpc.backend_registry.construct_rpc_backend_options(rpc.BackendType.TENSORPIPE, rpc_timeout=3)
    assert made.rpc_timeout == 3
    assert rpc.backend_registry.backend_registered("TENSORPIPE")
    assert repr(rpc.BackendType.TENSORPIPE) == "BackendType.TENSORPIPE"


def test_shutdown_finishes_what_was_begun():
    rpc.init_rpc("worker0", rank=0, world_size=1)
    later = rpc.rpc_async("worker0", rpc_programs.nap, args=(0.2,))
    rpc.shutdown()
    assert later.done()
    with pytest.raises(RuntimeError, match="has not been initialized"):
        rpc.get_worker_info()
