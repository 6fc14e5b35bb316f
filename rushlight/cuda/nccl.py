"""Owns ``torch.cuda.nccl``: which NCCL is installed; collectives themselves are XLA's.

May import _errors.
"""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

from .._errors import missing_name

__all__ = ["is_available", "version"]

# Under these names NVIDIA publishes the library that JAX's GPU plugins load.
_PACKAGES = ("nvidia-nccl-cu13", "nvidia-nccl-cu12", "nvidia-nccl-cu11")


def version() -> tuple[int, ...]:
    """The version of the NCCL that JAX's GPU plugin brings.

    Raises:
        RuntimeError: none is installed.
    """
    for package in _PACKAGES:
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return tuple(int(part) for part in re.findall(r"\d+", found)[:3])
    raise RuntimeError(
        f"torch.cuda.nccl.version(): expected an installed NCCL ({', '.join(_PACKAGES)}), found none. Install JAX for "
        "GPUs: pip install 'jax[cuda13]'."
    )


def is_available(tensors: Any) -> bool:
    """Whether programs may call NCCL on tensors: no, XLA does.

    Args:
        tensors: accepted.
    """
    return False


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)
