"""Writes tests/golden/sharded: a distributed checkpoint of real PyTorch, of which two processes wrote their pieces.

Run with PyTorch 2.13 from the repository root; nothing else reads or imports this file.
"""

import os
import shutil
import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

TARGET = Path("tests/golden/sharded")  # relative, since the folder's name is written into it


def state(mesh):
    """Tensors in pieces of unequal size, along both dimensions, one that both have, and a number."""
    place = lambda tensor, how: distribute_tensor(tensor, mesh, [how])  # noqa: E731
    return {
        "model": {
            "rows": place(torch.arange(15.0).reshape(5, 3), Shard(0)),
            "columns": place(torch.arange(15.0).reshape(3, 5).bfloat16(), Shard(1)),
            "one": place(torch.tensor([7]), Shard(0)),  # the second process has nothing of it
            "both": place(torch.arange(4), Replicate()),
        },
        "plain": torch.tensor(2.5),
        "epoch": 3,
    }


def work(rank, port):
    """One of the two processes."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    dcp.save(state(init_device_mesh("cpu", (2,))), checkpoint_id=TARGET)
    dist.destroy_process_group()


if __name__ == "__main__":
    shutil.rmtree(TARGET, ignore_errors=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(work, (port,), nprocs=2)
