"""Owns matching the arguments of a call to the parameters of what is called.

May import nn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import nn


class ArgsKwargsPair(NamedTuple):
    """Positional and keyword arguments."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _matched(function: Any, args: tuple, kwargs: Any, only_kwargs: bool) -> ArgsKwargsPair | None:
    try:
        signature = inspect.signature(inspect.unwrap(function))
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    if any(p.kind not in kinds for p in signature.parameters.values()):
        return None
    bound = signature.bind(*args, **(kwargs or {}))
    bound.apply_defaults()
    names = list(signature.parameters)
    first = 0 if only_kwargs else len(args)
    return ArgsKwargsPair(
        tuple(bound.arguments[name] for name in names[:first]), {name: bound.arguments[name] for name in names[first:]}
    )


def normalize_function(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Any = None, arg_types: tuple[Any, ...] | None = None,
    kwarg_types: dict[str, Any] | None = None, normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:  # fmt: skip
    """The arguments of a function matched to its parameters, defaults filled in.

    Args:
        target: the function.
        args, kwargs: the arguments.
        arg_types, kwarg_types: accepted: every function has one signature.
        normalize_to_only_use_kwargs: give all of them by name.

    Returns:
        The pair; None for a function without a signature, or with ``*args``.

    Raises:
        TypeError: they do not match.

    Example:
        >>> import rushlight as torch
        >>> normalize_function(torch.nn.functional.relu, (1,), normalize_to_only_use_kwargs=True).kwargs
        {'input': 1, 'inplace': False}
    """
    return _matched(target, args, kwargs, normalize_to_only_use_kwargs)


def normalize_module(
    root: nn.Module, target: str, args: tuple[Any, ...], kwargs: Any = None, normalize_to_only_use_kwargs: bool = False
) -> ArgsKwargsPair | None:
    """The arguments of a call of one of ``torch.nn``'s modules matched to its parameters.

    Args:
        root: who has the module.
        target: its dotted name.
        args, kwargs: the arguments.
        normalize_to_only_use_kwargs: give all of them by name.

    Returns:
        The pair; None for a module of another kind.

    Raises:
        RuntimeError: there is no such module.
    """
    try:
        module = root.get_submodule(target)
    except AttributeError as error:
        raise RuntimeError(
            f"Tried to normalize node with target {target} but root did not have that target!"
        ) from error  # fmt: skip
    if getattr(nn, type(module).__name__, None) is not type(module):
        return None
    return _matched(module.forward, args, kwargs, normalize_to_only_use_kwargs)


__all__ = ["ArgsKwargsPair", "normalize_function", "normalize_module"]
