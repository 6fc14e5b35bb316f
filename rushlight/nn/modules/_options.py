"""Owns how layers show their options, and how they name themselves where a constructor's arguments are wrong.

May import nothing.
"""

from __future__ import annotations

import types
from typing import Any


def shown(module: Any, *names: str) -> str:
    """``name=value`` for each of these attributes, for ``extra_repr``."""
    return ", ".join(f"{name}={getattr(module, name)}" for name in names)


def with_inplace(module: Any, *names: str) -> str:
    """As ``shown``, with ``inplace=True`` at the end where it is set."""
    return shown(module, *names, *(("inplace",) if module.inplace else ()))


@classmethod
def own_init(cls, **kwargs: Any) -> None:
    """As ``__init_subclass__``: layers that share a constructor get a copy under their own name.

    Python's errors about missing or surplus arguments then say ``ReLU.__init__()``.
    """
    shared = cls.__init__
    # Users' classes stay as they are: a copy would change which constructor a diamond of bases finds.
    if cls.__module__.startswith(__package__) and "__init__" not in cls.__dict__:
        copy = types.FunctionType(
            shared.__code__, shared.__globals__, "__init__", shared.__defaults__, shared.__closure__
        )
        copy.__kwdefaults__, copy.__annotations__ = shared.__kwdefaults__, shared.__annotations__
        copy.__qualname__ = f"{cls.__qualname__}.__init__"
        cls.__init__ = copy
