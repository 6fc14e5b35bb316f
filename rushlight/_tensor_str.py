"""Owns ``torch._tensor_str``: the parts of a tensor's printed form that packages with tensors of their own call.

May import the tensor cell and its printing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._errors import missing_name
from ._tensor import printing
from ._tensor.printing import PRINT_OPTS, get_printoptions, printoptions, set_printoptions


def _tensor_str(self: Any, indent: int) -> str:
    """The bracketed numbers of a tensor.

    Args:
        self: the tensor.
        indent: how far in the lines after the first begin.

    Example:
        >>> import rushlight as torch
        >>> torch._tensor_str._tensor_str(torch.tensor([1.0, 2.5]), 0)
        '[1.0000, 2.5000]'
    """
    if not self.numel():
        return "[]"
    return printing._body(self.detach()._array(), tuple(self.shape), self.dtype, indent)


def _add_suffixes(tensor_str: str, suffixes: Sequence[str], indent: int, force_newline: bool) -> str:
    """A printed form with notes behind it and the closing parenthesis.

    Args:
        tensor_str: the form so far, such as ``tensor([1, 2]``.
        suffixes: the notes; each stays on the last line where it fits.
        indent: where a new line begins.
        force_newline: begin a new line for the first.

    Example:
        >>> import rushlight as torch
        >>> torch._tensor_str._add_suffixes("Index([0, 1]", ["is_sorted=True"], 6, False)
        'Index([0, 1], is_sorted=True)'
    """
    if force_newline and suffixes:
        tensor_str, suffixes = f"{tensor_str},\n{' ' * indent}{suffixes[0]}", suffixes[1:]
    return printing._with_notes(tensor_str, list(suffixes), indent)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["PRINT_OPTS", "get_printoptions", "printoptions", "set_printoptions"]
