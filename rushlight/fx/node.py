"""Owns ``torch.fx.node``, where programs look for the types of a graph's steps; re-exports only.

May import the file above it.
"""

from collections.abc import Callable
from typing import Any

from . import Node

Target = Callable[..., Any] | str
Argument = Any

__all__ = ["Argument", "Node", "Target"]
