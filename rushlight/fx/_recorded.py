"""Owns how calls of functions stand in graphs: which arguments PyTorch's own functions pass on by name.

May import names and nn's functions. In PyTorch, functions of ``torch.nn.functional`` and ``torch.functional`` that are
written in Python pass on what has a default by name; compiled ones pass on the arguments as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from . import _names

_METHODS = {"torch.nn.functional.sigmoid": "sigmoid", "torch.nn.functional.tanh": "tanh"}
# Functions that become another one where indices are asked for.
_WITH_INDICES = {
    f"torch.nn.functional.{name}"
    for name in (
        "max_pool1d", "max_pool2d", "max_pool3d", "fractional_max_pool2d", "fractional_max_pool3d",
        "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    )
}  # fmt: skip
# Parameters that PyTorch leaves out, and required ones that it passes on by name.
_LEFT_OUT = {"torch.nn.functional.l1_loss": ("weight",)}
_NAMED = {"torch.functional.unravel_index": ("shape",), "torch.functional.meshgrid": ("indexing",)}


@functools.lru_cache(maxsize=1024)
def _parameters(func: Callable) -> list[inspect.Parameter] | None:
    try:
        found = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        return None
    return None if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found) else found


def recorded(func: Callable, args: tuple, kwargs: dict) -> tuple[Any, tuple, dict]:
    """The target and the arguments of the node for a call; a target that is a string is a method.

    Args:
        func: the function that was called.
        args, kwargs: what it was called with.

    Example:
        >>> import rushlight as torch
        >>> recorded(torch.nn.functional.dropout, ("x", 0.1), {})[1:]
        (('x',), {'p': 0.1, 'training': True, 'inplace': False})
    """
    if not _names.is_from_torch(func):
        return func, args, kwargs
    name = _names.qualified_name(func)
    if name in _METHODS:
        return _METHODS[name], args, kwargs
    if name == "torch.functional.meshgrid":
        return func, args, {"indexing": kwargs.get("indexing")}
    if not name.startswith(("torch.nn.functional.", "torch.functional.")):
        return func, args, kwargs
    parameters = _parameters(func)
    if parameters is None:
        return func, args, kwargs
    by_name = {p.name: value for p, value in zip(parameters, args, strict=False)} | kwargs
    if len(args) > len(parameters) or set(by_name) - {p.name for p in parameters}:
        return func, args, kwargs  # the call itself will say what is wrong with it
    passed: list[Any] = []
    named: dict[str, Any] = {}
    for p in parameters:
        if p.name in _LEFT_OUT.get(name, ()):
            continue
        if p.default is p.empty and p.name not in _NAMED.get(name, ()):
            if p.name not in by_name:
                return func, args, kwargs
            passed.append(by_name[p.name])
        else:
            named[p.name] = by_name.get(p.name, p.default)
    if name.endswith(".multi_head_attention_forward"):
        order = list(named)
        order.remove("is_causal")
        order.insert(order.index("attn_mask") + 1, "is_causal")
        named = {key: named[key] for key in order}
    if name in _WITH_INDICES and named.get("return_indices"):
        from ..nn import functional

        func = getattr(functional, f"{name.rpartition('.')[2]}_with_indices", func)
    return func, tuple(passed), named


__all__ = ["recorded"]
