"""Owns ``FxGraphDrawer``, which is refused: rushlight draws no pictures of graphs.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import not_supported


class FxGraphDrawer:
    """Would draw a graph with graphviz; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported(
            "torch.fx.passes.graph_drawer.FxGraphDrawer", "print(module.graph) and module.print_readable() show it."
        )


__all__ = ["FxGraphDrawer"]
