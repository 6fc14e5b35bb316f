"""Owns the tests of checkpoints through orbax: saving in the background, resuming, keeping, sharding.

May import rushlight, jax and orbax.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections import OrderedDict

import pytest

import rushlight as torch
from rushlight import nn

pytest.importorskip("orbax.checkpoint")

from rushlight.checkpoint.orbax import Checkpointer


class Run:
    """A small training run with everything that has a state."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.generator = torch.Generator().manual_seed(3)

    def step(self):
        x = torch.randn(8, 3, generator=self.generator)
        self.optimizer.zero_grad()
        loss = (self.model[3](self.model[1](self.model[0](x))) ** 2).mean()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def parts(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "generator": self.generator,
        }


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_resumed_run_goes_on_as_the_first_would_have(tmp_path, asynchronous):
    first = Run()
    with Checkpointer(tmp_path, asynchronous=asynchronous) as saved:
        for _ in range(3):
            first.step()
        assert saved.save(2, epoch=1, history=[0.5, float("inf"), None, (1, "x")], **first.parts())
        wanted = [first.step() for _ in range(3)]
    second = Run()
    with Checkpointer(tmp_path) as saved:
        assert saved.latest_step() == 2 and saved.all_steps() == [2]
        out = saved.restore(**second.parts())
    assert out == {"step": 2, "epoch": 1, "history": [0.5, float("inf"), None, (1, "x")]}
    assert [second.step() for _ in range(3)] == wanted


def test_the_key_of_compiled_programs_is_saved_too(tmp_path):
    first, second = torch.Generator().manual_seed(1), torch.Generator()
    first.next_key(), first.next_key()
    with Checkpointer(tmp_path) as saved:
        saved.save(0, generator=first)
        saved.restore(generator=second)
    assert (first.key_storage().array == second.key_storage().array).all()
    assert torch.rand(3, generator=first).tolist() == torch.rand(3, generator=second).tolist()


def test_what_is_kept(tmp_path):
    model = nn.Linear(1, 1)
    with Checkpointer(tmp_path, max_to_keep=2, save_interval_steps=2) as saved:
        assert [saved.save(i, model=model) for i in range(6)] == [True, False] * 3
        assert saved.save(5, model=model, force=True)
        saved.wait()
        assert saved.all_steps() == [4, 5]
        with pytest.raises(Exception, match="5"):
            saved.save(5, model=model, force=True)


def test_ties_and_values(tmp_path):
    shared = torch.arange(4.0)
    value = {"a": shared, "b": shared, "row": shared.view(2, 2)[1], 3: True, "h": torch.ones(2, dtype=torch.bfloat16)}
    with Checkpointer(tmp_path) as saved:
        saved.save(0, value=value, ordered=OrderedDict(x=1))
        out = saved.restore()
        assert type(out["ordered"]) is OrderedDict
        found = out["value"]
        assert found["a"] is found["b"] and found["row"].tolist() == [2.0, 3.0] and found[3] is True
        assert found["h"].dtype is torch.bfloat16 and list(found) == list(value)
        saved.save(1, note="no arrays")
        assert saved.restore() == {"step": 1, "note": "no arrays"}
        assert saved.restore(0)["step"] == 0


def test_later_training_does_not_reach_what_is_being_written(tmp_path):
    run, x = Run(), torch.ones(8, 3)

    @torch.compile
    def step():
        run.optimizer.zero_grad()
        run.model(x).sum().backward()
        run.optimizer.step()

    with Checkpointer(tmp_path) as saved:
        step()
        before = run.model[0].weight.tolist()
        saved.save(0, model=run.model)
        for _ in range(3):
            step()
        other = Run()
        saved.restore(model=other.model)
    assert other.model[0].weight.tolist() == before != run.model[0].weight.tolist()


def test_errors(tmp_path):
    model = nn.Linear(1, 1)
    with Checkpointer(tmp_path) as saved:
        with pytest.raises(FileNotFoundError, match="received an empty folder"):
            saved.restore(model=model)
        with pytest.raises(TypeError, match=r"received object at 'odd/x'"):
            saved.save(0, odd={"x": object()})
        saved.save(0, model=model)
        with pytest.raises(FileNotFoundError, match=r"restore\(3\): expected a saved step .* received \[0\]"):
            saved.restore(3)
        with pytest.raises(KeyError, match="step 0 holds model, not optimizer"):
            saved.restore(optimizer=torch.optim.SGD(model.parameters()))
        with pytest.raises(RuntimeError, match="size mismatch for weight"):
            saved.restore(model=nn.Linear(2, 1))


def test_the_library_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r"needs the package 'orbax'.*rushlight\[orbax\]"):
        Checkpointer(tmp_path)


def test_sharded_arrays_come_back_sharded(tmp_path):
    """Several devices need a process of their own."""
    script = f"""
        import jax, numpy as np
        import rushlight as torch
        from rushlight import nn
        from rushlight.checkpoint.orbax import Checkpointer
        mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
        def make(fill):
            model = nn.Linear(4, 8)
            for p in model.parameters():
                p._write(jax.device_put(np.full(p.shape, fill, np.float32), split))
            return model
        first, second = make(3.0), make(0.0)
        with Checkpointer({str(tmp_path)!r}) as saved:
            saved.save(0, model=first)
            saved.restore(model=second)
            plain = nn.Linear(4, 8)
            saved.restore(model=plain)
        for p in second.parameters():
            assert p._array().sharding == split and len(p._array().addressable_shards) == 4, p._array().sharding
            assert (np.asarray(p._array()) == 3).all()
        assert len(plain.weight._array().devices()) == 1 and (np.asarray(plain.weight._array()) == 3).all()
        print("done")
    """
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr


HOST = """
    import sys
    import jax
    rank, folder, port = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec
    import rushlight as torch
    from rushlight import nn
    from rushlight.checkpoint.orbax import Checkpointer

    places = NamedSharding(Mesh(np.array(jax.devices()), ("d",)), PartitionSpec("d"))

    class Net(nn.Module):
        def __init__(self, scale):
            super().__init__()
            full = np.arange(16, dtype=np.float32) * scale
            self.own = nn.Linear(2, 3)
            self.spread = nn.Parameter(
                torch.Tensor._of(jax.make_array_from_callback((16,), places, lambda index: full[index]))
            )

    def run(seed, scale):
        torch.manual_seed(seed)
        net = Net(scale)
        optimizer = torch.optim.Adam(net.own.parameters(), lr=0.25)
        net.own(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return net, optimizer, torch.Generator().manual_seed(seed)

    net, optimizer, generator = run(5, 2.0)
    other = run(6, 0.0)
    with Checkpointer(folder) as saved:
        saved.save(1, net=net, optimizer=optimizer, generator=generator, epoch=3)
        assert saved.restore(net=other[0], optimizer=other[1], generator=other[2]) == {"step": 1, "epoch": 3}
    parts = [np.asarray(shard.data) for shard in other[0].spread._array().addressable_shards]
    assert np.concatenate(parts).tolist() == [2.0 * i for i in range(8 * rank, 8 * rank + 8)]
    assert torch.equal(other[0].own.weight, net.own.weight)
    assert torch.equal(other[2].get_state(), generator.get_state())
    print("fine")
"""


def test_two_hosts_write_one_checkpoint(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    code = textwrap.dedent(HOST)
    hosts = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(rank), str(tmp_path / "run"), str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **flags},
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for host in hosts:
            out, errors = host.communicate(timeout=120)
            assert host.returncode == 0 and "fine" in out, errors[-2000:]
    finally:
        for host in hosts:
            host.kill()
