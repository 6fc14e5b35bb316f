"""Owns ``torch.distributed`` for one process: the questions programs ask, and the collectives of a group of one.

May import devices and the tensor cell.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .. import _device as devices
from .._errors import missing_name, not_supported
from .._tensor.tensor import Tensor


class ReduceOp:
    """How ``all_reduce`` combines values; with one process nothing is combined."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = (
        "SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR", "PREMUL_SUM",
    )  # fmt: skip


class _Group:
    """The group of all processes: this one."""

    WORLD: _Group | None = None

    def __init__(self, backend: str):
        self.backend = backend

    def size(self) -> int:
        """How many processes: one."""
        return 1

    def rank(self) -> int:
        """Which one this is."""
        return 0


group = ProcessGroup = _Group


def is_available() -> bool:
    """Whether the package is there."""
    return True


def is_initialized() -> bool:
    """Whether ``init_process_group`` has been called."""
    return _Group.WORLD is not None


def is_nccl_available() -> bool:
    """Whether NCCL is there; JAX brings its own."""
    return False


def is_gloo_available() -> bool:
    """Whether Gloo is there; not here."""
    return False


def is_mpi_available() -> bool:
    """Whether MPI is there; not here."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether ``torchrun`` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def get_rank(group: Any = None) -> int:
    """Which process of the group this is: 0."""
    return 0


def get_world_size(group: Any = None) -> int:
    """How many processes the group has: 1."""
    return 1


def get_backend(group: Any = None) -> str:
    """The backend that ``init_process_group`` was called with.

    Raises:
        ValueError: it was not called.
    """
    return _world().backend


def _world() -> _Group:
    if _Group.WORLD is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return _Group.WORLD


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: Any = None, world_size: int = -1,
    rank: int = -1, store: Any = None, group_name: str = "", pg_options: Any = None, device_id: Any = None,
) -> None:  # fmt: skip
    """Make the group of all processes, which is this one alone.

    Args:
        backend: its name; kept for ``get_backend``.
        world_size: 1; default: the environment's ``WORLD_SIZE``, or 1.
        rank: 0; default: the environment's ``RANK``, or 0.
        init_method, timeout, store, group_name, pg_options, device_id: how several processes would find each other.

    Raises:
        NotImplementedError: more than one process.
        ValueError: called twice.
    """
    if _Group.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    size = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 0 else world_size
    here = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if size != 1:
        raise not_supported(f"init_process_group(world_size={size})", "Start one process (world_size=1).")
    if here != 0:
        raise ValueError(f"init_process_group(): expected rank 0 in a group of one process, received {here}")
    _Group.WORLD = _Group((backend or "undefined").lower())


def destroy_process_group(group: Any = None) -> None:
    """Forget the group of all processes; one that ``new_group`` made holds nothing to give back."""
    if group is None or group is _world():
        _world()
        _Group.WORLD = None


def new_group(
    ranks: Sequence[int] | None = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
    use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
) -> _Group:  # fmt: skip
    """A group of some of the processes; with one process, it is that one.

    Args:
        ranks: which; default: all.
        backend: its name; default: that of the group of all.
        timeout, pg_options, use_local_synchronization, group_desc, device_id: how several processes would find each
            other.

    Raises:
        ValueError: a rank that is not there, or ``init_process_group`` was not called.
    """
    world = _world()
    if ranks is not None and list(ranks) != [0]:
        raise ValueError(f"new_group(): expected ranks of the one process there is, [0], received {list(ranks)}")
    return _Group((backend or world.backend).lower())


def get_default_backend_for_device(device: Any) -> str:
    """torch's name of the backend for a device: ``"gloo"`` for the CPU, ``"nccl"`` for GPUs.

    Raises:
        ValueError: torch has none for the device.

    Example:
        >>> import rushlight as torch
        >>> torch.distributed.get_default_backend_for_device("cpu")
        'gloo'
    """
    kind = devices.device(device).type
    found = {"cpu": "gloo", "cuda": "nccl"}.get(kind)
    if found is None:
        raise ValueError(f"Default backend not registered for device : {kind}")
    return found


class _Done:
    """What an asynchronous collective gives: it is done."""

    def wait(self, timeout: Any = None) -> bool:
        """Return at once."""
        return True

    def is_completed(self) -> bool:
        """Whether it is done: yes."""
        return True


def _done(async_op: bool) -> _Done | None:
    _world()
    return _Done() if async_op else None


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> _Done | None:
    """Wait for all processes."""
    return _done(async_op)


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> _Done | None:
    """Combine a tensor over all processes, in place: with one process it stays as it is."""
    return _done(async_op)


def reduce(
    tensor: Tensor, dst: int = 0, op: str = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> _Done | None:
    """Combine a tensor over all processes in one of them."""
    return _done(async_op)


def broadcast(tensor: Tensor, src: int = 0, group: Any = None, async_op: bool = False) -> _Done | None:
    """Send a tensor to all processes."""
    return _done(async_op)


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> _Done | None:
    """Write the tensor of every process into a list.

    Raises:
        ValueError: not one entry for each process.
    """
    done = _done(async_op)
    if len(tensor_list) != 1:
        raise ValueError(f"all_gather(): expected a list of 1 tensor (the world size), received {len(tensor_list)}")
    tensor_list[0].detach().copy_(tensor.detach())
    return done


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Write the object of every process into a list."""
    _world()
    object_list[0] = obj


def broadcast_object_list(object_list: list, src: int = 0, group: Any = None, device: Any = None) -> None:
    """Send a list of objects to all processes."""
    _world()


_LAZY = {
    "DeviceMesh": "device_mesh",
    "init_device_mesh": "device_mesh",
    "device_mesh": "",
    "tensor": "",
    "fsdp": "",
    "checkpoint": "",
    "_functional_collectives": "",
    "_tensor": "",
    "algorithms": "",
    "nn": "",
    "rpc": "",
    "autograd": "",
    "optim": "",
    "remote_device": "",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module = import_module(f"{__name__}.{_LAZY[name] or name}")
        return getattr(module, name) if _LAZY[name] else module
    raise missing_name(__name__, name)


from .distributed_c10d import *  # noqa: E402,F403 - it needs the group above
