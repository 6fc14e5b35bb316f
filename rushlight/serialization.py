"""Owns the ``torch.serialization`` namespace; re-exports, and refusals of what a closed reader does not do.

May import checkpoint and _errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any

from ._errors import missing_name, not_supported
from .checkpoint import (
    DEFAULT_PROTOCOL,
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    load,
    safe_globals,
    save,
)

#: What ``f`` of ``save`` and ``load`` may be.
FILE_LIKE = str | os.PathLike | IO[bytes]
#: What ``map_location`` of ``load`` may be.
MAP_LOCATION = Callable[[Any, str], Any] | str | dict[str, str] | None


class SourceChangeWarning(Warning):
    """torch's warning for a pickled module whose source has changed; rushlight runs no source from a file."""


def register_package(priority: int, tagger: Callable, deserializer: Callable) -> None:
    """Refused: where a storage goes is decided by ``map_location`` alone.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported(
        "torch.serialization.register_package",
        "Pass a function of (storage, location) as load(..., map_location=function).",
    )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "DEFAULT_PROTOCOL",
    "FILE_LIKE",
    "MAP_LOCATION",
    "SourceChangeWarning",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "register_package",
    "safe_globals",
    "save",
]
