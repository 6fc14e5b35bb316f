"""Owns the part of ``torch.fx`` that programs meet without using it: marks for a tracer that rushlight does not have.

May import nn and _errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from .._errors import missing_name, not_supported
from ..nn import Module

_T = TypeVar("_T")
_INSTEAD = "torch.compile(module) makes a program of a module; module.named_modules() and hooks look inside one."


def wrap(fn_or_name: _T) -> _T:
    """Give the function (or its name) back: no tracer would look inside, so nothing needs marking.

    Raises:
        RuntimeError: neither a function nor a name.

    Example:
        >>> import rushlight as torch
        >>> torch.fx.wrap("len")
        'len'
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError(
            "Unsupported type for global function! Must be either a callable or string name: expected a function, "
            f"received {type(fn_or_name).__name__}"
        )
    return fn_or_name


class GraphModule(Module):
    """What tracing would give; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.fx.GraphModule", _INSTEAD)


class Tracer:
    """What would trace; a subclass may be written, an instance is refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.fx.Tracer", _INSTEAD)


class Proxy:
    """What a tracer passes through a program; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.fx.Proxy", _INSTEAD)


class Node:
    """One step of a graph; nothing makes any, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.fx.Node", _INSTEAD)


class Graph:
    """What tracing would record; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.fx.Graph", _INSTEAD)


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    """Refused: rushlight compiles by tracing with JAX, and makes no graph of torch's kind.

    Raises:
        NotImplementedError: always.
    """
    raise not_supported("torch.fx.symbolic_trace", _INSTEAD)


def __getattr__(name: str) -> Any:
    if name in ("experimental", "graph_module", "node", "proxy"):
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = ["Graph", "GraphModule", "Node", "Proxy", "Tracer", "symbolic_trace", "wrap"]
