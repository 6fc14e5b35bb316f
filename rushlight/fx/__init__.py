"""Owns ``torch.fx``: programs recorded as graphs, changed, and turned into modules again; re-exports only.

May import the files below it; passes and experiments load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._errors import missing_name
from . import immutable_collections
from ._symbolic_trace import PH, ProxyableClassMeta, Tracer, symbolic_trace, wrap
from .graph import CodeGen, Graph
from .graph_module import GraphModule
from .interpreter import Interpreter, Transformer
from .node import Node, has_side_effect, map_arg
from .proxy import Proxy
from .subgraph_rewriter import replace_pattern

_LAZY = frozenset({"annotate", "experimental", "operator_schemas", "passes", "traceback"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = [
    "PH", "CodeGen", "Graph", "GraphModule", "Interpreter", "Node", "ProxyableClassMeta", "Proxy", "Tracer",
    "Transformer", "has_side_effect", "immutable_collections", "map_arg", "replace_pattern", "symbolic_trace", "wrap",
]  # fmt: skip
