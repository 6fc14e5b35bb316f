"""Owns finding the user's lines: where an exception comes from, and whom a warning is for.

May import jax, for where it is.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import jax

_HERE = Path(__file__).resolve().parent.parent
_JAX = Path(jax.__file__).resolve().parent


def level() -> int:
    """How far up the user's call is, seen from the function that asks."""
    frame, found = sys._getframe(1), 1
    while frame.f_back is not None and _HERE in Path(frame.f_code.co_filename).parents:
        frame, found = frame.f_back, found + 1
    return found


def user_line(error) -> str:
    """The user's line that an exception came from, as ``file:line``."""
    place = None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if _HERE not in path.parents and _JAX not in path.parents:
            place = frame
    return f"{place.filename}:{place.lineno} ({place.line})" if place is not None else "the function"
