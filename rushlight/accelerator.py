"""``torch.accelerator``: the accelerator that JAX has, whatever its kind. May import devices and cuda.

Example:
    >>> import rushlight as torch
    >>> torch.accelerator.device_count() >= 0
    True
"""

from __future__ import annotations

import contextlib

import jax

from . import _device as devices

_KINDS = ("cuda", "tpu")


def _kind() -> str | None:
    return next((kind for kind in _KINDS if devices.present(kind)), None)


def is_available() -> bool:
    """Whether JAX has an accelerator."""
    return _kind() is not None


def device_count() -> int:
    """How many accelerators JAX has."""
    kind = _kind()
    return len(devices.present(kind)) if kind else 0


def current_accelerator(check_available: bool = False):
    """The kind of accelerator as a device without index; None where there is none."""
    kind = _kind()
    return devices.device(kind) if kind else None


def current_device_index() -> int:
    """The index of the accelerator in use.

    Raises:
        RuntimeError: there is none.
    """
    if not is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    d = devices.default_device()
    return d.index or 0 if d.type in _KINDS else 0


current_device_idx = current_device_index


def set_device_index(device, /) -> None:
    """Accepted for the one accelerator of a process; choose others by naming them (``cuda:1``)."""
    index = device if isinstance(device, int) else devices.device(device).index or 0
    if index >= device_count() or index < -1:
        raise RuntimeError(f"expected an accelerator index below {device_count()}, received {index}")


set_device_idx = set_device_index


@contextlib.contextmanager
def device_index(device: int | None):
    """Make tensors on one accelerator by default, for a while."""
    if device is None:
        yield
        return
    set_device_index(device)
    kind = _kind()
    assert kind is not None
    with devices.device(kind, device):
        yield


def synchronize(device=None, /) -> None:
    """Wait until everything that was started has finished."""
    jax.effects_barrier()
    for d in jax.local_devices():
        jax.device_put(0, d).block_until_ready()


__all__ = [
    "current_accelerator", "current_device_idx", "current_device_index", "device_count", "device_index", "is_available",
    "set_device_idx", "set_device_index", "synchronize",
]  # fmt: skip
