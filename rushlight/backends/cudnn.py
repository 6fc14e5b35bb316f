"""``torch.backends.cudnn``: kept as set; XLA picks deterministic kernels by its own flags. May import devices."""

import contextlib
from collections.abc import Iterator

from .. import _device as devices

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True
benchmark_limit = 10


def is_available() -> bool:
    """Whether there is a GPU, and so cuDNN underneath XLA."""
    return bool(devices.present("cuda"))


def version() -> None:
    """None: cuDNN belongs to JAX's own build."""


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """Keep other settings inside a block, and put the old ones back after it."""
    names = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")
    before = {name: globals()[name] for name in names}
    globals().update(zip(names, (enabled, benchmark, benchmark_limit, deterministic, allow_tf32)))
    try:
        yield
    finally:
        globals().update(before)
