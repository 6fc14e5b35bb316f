"""Owns what a tracer copies onto the nodes it makes while another graph is run: the notes of the running node.

May import nodes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_COPIED = ("nn_module_stack", "source_fn_stack", "from_node", "custom")
_current: ContextVar[dict[str, Any] | None] = ContextVar("current_meta", default=None)


@contextlib.contextmanager
def preserve_node_meta(enable: bool = True) -> Iterator[None]:
    """A block in which nodes that a ``Transformer`` makes take over the notes of the ones they come from.

    Args:
        enable: whether they do.
    """
    token = _current.set({} if enable else None)
    try:
        yield
    finally:
        _current.reset(token)


def has_preserved_node_meta() -> bool:
    """Whether a block of ``preserve_node_meta`` is open."""
    return _current.get() is not None


def get_current_meta() -> dict[str, Any]:
    """The notes that new nodes take over."""
    return _current.get() or {}


@contextlib.contextmanager
def set_current_meta(node: Any, pass_name: str = "") -> Iterator[None]:
    """A block in which new nodes take over the notes of a node, where ``preserve_node_meta`` is open.

    Args:
        node: the node.
        pass_name: accepted: who runs it.
    """
    if not has_preserved_node_meta() or not node.meta:
        yield
        return
    token = _current.set(node.meta)
    try:
        yield
    finally:
        _current.reset(token)


def copy_onto(node: Any) -> None:
    """Give a new node the current notes."""
    meta = get_current_meta()
    if meta.get("stack_trace"):
        node.stack_trace = meta["stack_trace"]
    node.meta.update({name: copy.copy(meta[name]) for name in _COPIED if name in meta})


__all__ = ["get_current_meta", "has_preserved_node_meta", "preserve_node_meta", "set_current_meta"]
