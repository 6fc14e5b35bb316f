"""Owns ``torch.fx.graph_module``: the refused class, and the helpers that programs import along with it.

May import the file above it, nn and _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name, not_supported
from ..nn import Module
from . import _INSTEAD, GraphModule

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


class _CodeOnlyModule(Module):
    """What a pickled graph would be rebuilt around; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, body: Any):
        raise not_supported("torch.fx.graph_module._CodeOnlyModule", _INSTEAD)


def _copy_attr(from_module: Module, to_module: Module, target: str) -> None:
    """Give a module what another one has under a dotted name; modules on the way are made where they are missing.

    Args:
        from_module: who has it.
        to_module: who gets it.
        target: the dotted name.
    """
    *path, last = target.split(".")
    for name in path:
        from_module = getattr(from_module, name)
        if not hasattr(to_module, name):
            to_module.add_module(name, Module())
        to_module = getattr(to_module, name)
    value = getattr(from_module, last)
    if last in from_module._buffers:
        to_module.register_buffer(last, value)
    else:
        setattr(to_module, last, value)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["GraphModule"]
