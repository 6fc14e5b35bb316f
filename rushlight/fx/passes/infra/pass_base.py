"""Owns ``PassBase``, what passes over graphs are built on.

May import the graph module.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

from ...graph_module import GraphModule


class PassResult(NamedTuple):
    """What a pass gives: the module, and whether it was changed."""

    graph_module: GraphModule
    modified: bool


class PassBase(abc.ABC):
    """A pass over a graph; subclasses define ``call``, and ``requires`` and ``ensures`` if they check anything.

    Example:
        >>> import rushlight as torch
        >>> class DeadCode(PassBase):
        ...     def call(self, graph_module):
        ...         return PassResult(graph_module, graph_module.graph.eliminate_dead_code())
        >>> DeadCode()(torch.fx.symbolic_trace(lambda x: (x + 1, x)[1])).modified
        True
    """

    def __call__(self, graph_module: GraphModule) -> PassResult | None:
        self.requires(graph_module)
        result = self.call(graph_module)
        self.ensures(graph_module)
        return result

    @abc.abstractmethod
    def call(self, graph_module: GraphModule) -> PassResult | None:
        """Run the pass."""

    def requires(self, graph_module: GraphModule) -> None:  # noqa: B027
        """Check the module before; subclasses need not."""

    def ensures(self, graph_module: GraphModule) -> None:  # noqa: B027
        """Check the module after; subclasses need not."""


__all__ = ["PassBase", "PassResult"]
