"""Owns ``torch.overrides``: the protocol by which other classes take over a function that asks.

May import the tensor cell and _errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ._errors import missing_name, not_supported
from ._tensor.tensor import Tensor


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether the class of an argument defines ``__torch_function__``.

    rushlight's own operators do not ask; functions that do, as this one invites them to, work as in torch.

    Args:
        relevant_args: the arguments that may be taken over.

    Example:
        >>> import rushlight as torch
        >>> torch.overrides.has_torch_function((torch.ones(1), 2.0))
        False
    """
    return any(hasattr(type(arg), "__torch_function__") for arg in relevant_args)


def has_torch_function_unary(arg: Any) -> bool:
    """``has_torch_function`` for one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """``has_torch_function`` for arguments given one by one."""
    return has_torch_function(args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """Let the argument's class compute ``public_api``; subclasses are asked first.

    Args:
        public_api: the function that was called.
        relevant_args: the arguments that may take over.

    Raises:
        TypeError: every class that was asked gave NotImplemented.
    """
    classes: list[type] = []
    for arg in relevant_args:
        kind = type(arg)
        if kind in classes or not hasattr(kind, "__torch_function__"):
            continue
        place = next((i for i, other in enumerate(classes) if issubclass(kind, other)), len(classes))
        classes.insert(place, kind)
    for kind in classes:
        result = kind.__torch_function__(public_api, tuple(classes), args, kwargs)  # type: ignore[attr-defined]
        if result is not NotImplemented:
            return result
    name = f"{getattr(public_api, '__module__', '')}.{getattr(public_api, '__name__', public_api)}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {classes}")


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor, or of a class that defines ``__torch_function__``."""
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


class TorchFunctionMode:
    """A block in which a class would take over every operator; subclasses may be written, entering one is refused.

    Raises:
        NotImplementedError: on entering.
    """

    def __enter__(self) -> Any:
        raise not_supported(
            "torch.overrides.TorchFunctionMode", "Module hooks see what goes into modules and what comes out of them."
        )

    def __exit__(self, *exc: Any) -> None:
        return None


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["TorchFunctionMode", "handle_torch_function", "has_torch_function", "is_tensor_like"]
