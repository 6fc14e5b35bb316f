"""Owns the public home of hook handles, ``torch.utils.hooks``; re-exports, and the mark for hooks not to be saved.

May import _hooks.
"""

from __future__ import annotations

from collections.abc import Callable

from .._hooks import RemovableHandle


def unserializable_hook(f: Callable) -> Callable:
    """Mark a tensor hook, so that saving the tensor does not warn that the hook is not saved.

    Args:
        f: the hook.
    """
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


__all__ = ["RemovableHandle", "unserializable_hook"]
