"""Owns ``torch.distributed.checkpoint`` as refusals: files that several processes write, each its own pieces.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported

_INSTEAD = (
    "One process has the whole state: torch.save, rushlight.checkpoint.save_file or rushlight.checkpoint.save_orbax."
)


def save(*args: Any, **kwargs: Any) -> Any:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.checkpoint.save", _INSTEAD)


def load(*args: Any, **kwargs: Any) -> Any:
    """Refused.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.distributed.checkpoint.load", _INSTEAD)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["load", "save"]
