"""Owns ``torch.mps``: the answers that programs probe for; JAX drives no device of that name.

Imports _errors.
"""

from __future__ import annotations

from typing import Any

from ._errors import missing_name


def is_available() -> bool:
    """Whether there are Apple's GPUs under this name: no; ``torch.cuda`` and ``torch.accelerator`` ask about JAX's."""
    return False


def device_count() -> int:
    """How many there are: 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Accepted without a device, as in torch: there is no generator to seed."""


def _missing() -> RuntimeError:
    return RuntimeError(
        "rushlight has no MPS backend: expected a device that JAX has, which torch.accelerator names. Ask "
        "torch.mps.is_available() first."
    )


def synchronize(device: Any = None) -> None:
    """Wait for the device.

    Raises:
        RuntimeError: always; there is none.
    """
    raise _missing()


def empty_cache() -> None:
    """Give memory of the device back.

    Raises:
        RuntimeError: always; there is none.
    """
    raise _missing()


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "synchronize"]
