"""``torch.cuda``: what there is to ask of and tell JAX's GPUs. May import devices, random and amp."""

from __future__ import annotations

import contextlib
import importlib

import jax

from .. import _device as devices
from .._errors import missing_name as _missing_name
from .._errors import not_supported as _not_supported
from ..random import generator as _generators
from . import amp as amp
from .graphs import CUDAGraph as CUDAGraph
from .graphs import graph as graph
from .graphs import is_current_stream_capturing as is_current_stream_capturing
from .streams import Event as Event
from .streams import Stream as Stream
from .streams import StreamContext as StreamContext
from .streams import current_stream as current_stream
from .streams import default_stream as default_stream
from .streams import stream as stream


def is_available() -> bool:
    """Whether JAX has a GPU."""
    return device_count() > 0


def device_count() -> int:
    """How many GPUs JAX has."""
    return len(devices.present("cuda"))


def current_device() -> int:
    """The index of the default GPU."""
    _need()
    d = devices.default_device()
    return d.index or 0 if d.type == "cuda" else 0


def get_device_name(device=None) -> str:
    """What the GPU calls itself."""
    return devices.jax_device(_resolve(device)).device_kind


def get_device_capability(device=None) -> tuple[int, int]:
    """The compute capability, for example ``(9, 0)``."""
    major, minor = str(devices.jax_device(_resolve(device)).compute_capability).split(".")
    return int(major), int(minor)


def set_device(device) -> None:
    """Accepted for the one GPU of a process; choose others by naming them (``cuda:1``)."""
    _resolve(device)


def synchronize(device=None) -> None:
    """Wait until everything sent to the GPU is done."""
    if is_available():
        jax.block_until_ready(jax.device_put(0, devices.jax_device(_resolve(device))))


def empty_cache() -> None:
    """Accepted: JAX's allocator keeps and reuses its memory."""


def is_bf16_supported(including_emulation=True) -> bool:
    """Whether bfloat16 runs on the GPU; XLA supports it on all."""
    return is_available()


def manual_seed(seed: int) -> None:
    """Seed the GPU's generator; accepted without one, as in torch."""
    if is_available():
        _generators.generator_of(_resolve(None)).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; accepted without one, as in torch."""
    for i in range(device_count()):
        _generators.generator_of(devices.resolve(f"cuda:{i}")).manual_seed(int(seed))


def get_rng_state(device="cuda"):
    """The state of a GPU's generator."""
    return _generators.generator_of(_resolve(device)).get_state()


def set_rng_state(new_state, device="cuda") -> None:
    """Set the state of a GPU's generator."""
    _generators.generator_of(_resolve(device)).set_state(new_state)


def _statistic(name: str, device) -> int:
    return int((devices.jax_device(_resolve(device)).memory_stats() or {}).get(name, 0)) if is_available() else 0


def memory_allocated(device=None) -> int:
    """Bytes in use on the GPU; 0 without one."""
    return _statistic("bytes_in_use", device)


def max_memory_allocated(device=None) -> int:
    """The most bytes ever in use on the GPU; 0 without one."""
    return _statistic("peak_bytes_in_use", device)


def memory_reserved(device=None) -> int:
    """Bytes that JAX's allocator holds on the GPU, in use or not; 0 without one."""
    return _statistic("pool_bytes", device)


def max_memory_reserved(device=None) -> int:
    """The most bytes that JAX's allocator ever held on the GPU; 0 without one."""
    return _statistic("peak_pool_bytes", device)


def reset_peak_memory_stats(device=None) -> None:
    """Refused: JAX counts the peak from the start of the process.

    Raises:
        NotImplementedError: always.
    """
    raise _not_supported(
        "torch.cuda.reset_peak_memory_stats",
        "The peak counts from the start of the process: measure in one of its own.",
    )


def get_rng_state_all() -> list:
    """The states of all GPUs' generators."""
    return [get_rng_state(f"cuda:{i}") for i in range(device_count())]


def set_rng_state_all(new_states) -> None:
    """Set the states of all GPUs' generators."""
    for i, state in enumerate(new_states):
        set_rng_state(state, f"cuda:{i}")


def is_initialized() -> bool:
    """Whether the GPU is ready for use: JAX has it ready wherever there is one."""
    return is_available()


def init() -> None:
    """Make the GPU ready, which JAX does by itself.

    Raises:
        RuntimeError: there is none.
    """
    _need()


@contextlib.contextmanager
def device(index):
    """Create tensors on a GPU inside the block."""
    with devices.device("cuda", index if isinstance(index, int) else devices.device(index).index):
        yield


def _need() -> None:
    if not is_available():
        raise RuntimeError(
            "Found no GPU: expected a device that JAX reports as 'gpu', present are "
            f"{', '.join(map(str, devices.available()))}. Install jax[cuda12] or use device='cpu'."
        )


def _resolve(where):
    _need()
    if where is None:
        return devices.resolve("cuda")
    return devices.resolve(devices.device("cuda", where) if isinstance(where, int) else where)


def __getattr__(name: str):
    if name == "default_generators":
        return tuple(_generators.generator_of(devices.resolve(f"cuda:{i}")) for i in range(device_count()))
    if name == "nccl":
        return importlib.import_module(f"{__name__}.nccl")
    raise _missing_name(__name__, name)
