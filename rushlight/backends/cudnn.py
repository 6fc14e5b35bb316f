"""``torch.backends.cudnn``: kept as set; XLA picks deterministic kernels by its own flags. May import devices."""

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
