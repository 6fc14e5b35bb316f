"""Owns the context in which PyTorch's tracer lets mapped functions index by tensors; here they always may.

Imports the standard library alone.
"""

from __future__ import annotations

from typing import Any


class TransformGetItemToIndex:
    """Changes nothing: inside of ``torch.vmap``, ``tensor[index]`` takes mapped indices as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: Any) -> None:
        return None


__all__ = ["TransformGetItemToIndex"]
