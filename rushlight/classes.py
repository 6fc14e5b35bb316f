"""Owns ``torch.classes``: classes that compiled libraries would register, of which there are none.

May import the operators' loader of libraries.
"""

from __future__ import annotations

from typing import Any

from ._errors import missing_name
from .ops import load_library as load_library

loaded_libraries: set = set()


class _Namespace:
    """The classes that libraries registered under one name.

    Args:
        name: the name.
    """

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            f"Tried to instantiate class '{self.name}.{name}', but it does not exist! Expected a class that a library "
            "compiled for PyTorch's C++ interface has registered; rushlight loads none. Write the class in Python."
        )

    def __repr__(self) -> str:
        return f"<module 'torch.classes.{self.name}'>"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise missing_name(__name__, name)
    found = globals()[name] = _Namespace(name)
    return found


__all__ = ["load_library", "loaded_libraries"]
