"""Owns ``torch.nn.attention``: the context manager that names attention kernels.

May import _errors.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..._errors import missing_name


class SDPBackend(enum.IntEnum):
    """Ways to compute attention in torch; XLA computes what ``MATH`` describes, fused as it sees fit."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[dict]:
    """A block in which attention may be computed only in the ways named.

    All ways give the same values; XLA has one, so the choice is about what is allowed to run.

    Args:
        backends: one way, or several.
        set_priority: their order is an order of preference; with one way here, no matter.

    Raises:
        TypeError: not a way.
        RuntimeError: none of those named is there, which is where torch finds no kernel too.

    Example:
        >>> import rushlight as torch
        >>> q = torch.ones(1, 1, 2, 4)
        >>> with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        ...     torch.nn.functional.scaled_dot_product_attention(q, q, q).shape
        torch.Size([1, 1, 2, 4])
    """
    named = [backends] if isinstance(backends, SDPBackend) else list(backends)
    for one in named:
        if not isinstance(one, SDPBackend):
            raise TypeError(f"sdpa_kernel(): expected an SDPBackend or a list of them, received {one!r}")
    if SDPBackend.MATH not in named:
        raise RuntimeError(
            f"No available kernel: expected SDPBackend.MATH among {[one.name for one in named]}. rushlight leaves the "
            "kernel to XLA; add SDPBackend.MATH to the list, or leave sdpa_kernel out."
        )
    yield {}


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["SDPBackend", "sdpa_kernel"]
