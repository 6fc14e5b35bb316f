"""Owns ``torch.overrides``: what functions ask, and the modes that take every overridable function over.

May import the tensor cell, the table of overridable functions and _errors.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import _overrides
from ._errors import missing_name
from ._tensor.overriding import exact, hand_over, local, overloaded, start, takes_over
from ._tensor.tensor import Tensor


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether somebody would take over a function with these arguments: the class of one, or a mode.

    Exact tensors and parameters do not. Ask before ``handle_torch_function``.

    Args:
        relevant_args: the arguments that may be taken over.

    Example:
        >>> import rushlight as torch
        >>> torch.overrides.has_torch_function((torch.ones(1), 2.0))
        False
    """
    if not local.enabled:
        return False
    if local.modes:
        return True
    found = local.subclasses and any(takes_over(type(arg)) for arg in relevant_args)
    if found:
        start()
    return found


def has_torch_function_unary(arg: Any) -> bool:
    """``has_torch_function`` for one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args: Any) -> bool:
    """``has_torch_function`` for arguments given one by one."""
    return has_torch_function(args)


def handle_torch_function(public_api: Callable, relevant_args: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    """Let the innermost mode or an argument's class compute ``public_api``; subclasses are asked first.

    Args:
        public_api: the function that was called.
        relevant_args: the arguments that may take over.

    Raises:
        TypeError: every class that was asked gave NotImplemented.
    """
    found = overloaded(relevant_args, Tensor) if local.enabled and local.subclasses else []
    name = f"{getattr(public_api, '__module__', '')}.{getattr(public_api, '__name__', public_api)}"
    return hand_over(public_api, name, found, args, kwargs, python=True)


def ask_always() -> None:
    """Let every public function look for arguments with ``__torch_function__``, from now on.

    Subclasses of Tensor and modes see to this themselves, and most functions do when they first meet another class. A
    program whose first such call is of a function that is computed from others (``F.softmax``) calls this once before.
    """
    start()


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor, or of a class that defines ``__torch_function__``."""
    return isinstance(inp, Tensor) or hasattr(type(inp), "__torch_function__")


def wrap_torch_function(dispatcher: Callable) -> Callable:
    """Decorate a function of your own so that classes and modes can take it over.

    Args:
        dispatcher: takes the function's arguments, and gives those that may take over.

    Example:
        >>> import rushlight as torch
        >>> @torch.overrides.wrap_torch_function(lambda a: (a,))
        ... def double(a):
        ...     return a + a
        >>> double(torch.ones(1))
        tensor([2.])
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return decorate


def get_overridable_functions() -> dict[Any, list]:
    """The functions that can be taken over, in lists by namespace.

    Example:
        >>> import rushlight as torch
        >>> torch.add in torch.overrides.get_overridable_functions()[torch]
        True
    """
    return {space: list(functions) for space, functions in _overrides.table().spaces.items()}


def get_ignored_functions() -> set:
    """Public functions that classes cannot take over; most of them take no tensors."""
    return set(_overrides.table().ignored)


def get_testing_overrides() -> dict[Callable, Callable]:
    """For each overridable function, a lambda with its signature that gives -1."""
    return {function: _dummy(function) for functions in get_overridable_functions().values() for function in functions}


def _dummy(function: Any) -> Callable:
    def dummy(*args: Any, **kwargs: Any) -> int:
        return -1

    if hasattr(function, "__wrapped__") or hasattr(function, "__code__"):
        dummy.__wrapped__ = function  # type: ignore[attr-defined]
    return dummy


def resolve_name(f: Any) -> str | None:
    """The full name of an overridable function, as handlers get it; None for others.

    Example:
        >>> import rushlight as torch
        >>> torch.overrides.resolve_name(torch.Tensor.add)
        'torch.Tensor.add'
    """
    table = _overrides.table()
    return table.names.get(f) or table.known.get(f)


def is_tensor_method_or_property(func: Any) -> bool:
    """Whether ``func``, as handlers get it, is a method of Tensor or reads one of its properties.

    Example:
        >>> import rushlight as torch
        >>> torch.overrides.is_tensor_method_or_property(torch.add)
        False
    """
    return func in _overrides.table().methods or getattr(func, "__name__", "") == "__get__"


def get_default_nowrap_functions() -> set:
    """The functions whose results ``Tensor.__torch_function__`` leaves as they are."""
    return set(exact.nowrap)


class TorchFunctionMode:
    """A block in which a class takes over every overridable function, those that take no tensors included.

    Write ``__torch_function__`` in a subclass. Functions that it calls go to the mode around this one.

    Example:
        >>> import rushlight as torch
        >>> class Log(torch.overrides.TorchFunctionMode):
        ...     def __torch_function__(self, func, types, args=(), kwargs=None):
        ...         print(torch.overrides.resolve_name(func))
        ...         return func(*args, **(kwargs or {}))
        >>> with Log():
        ...     x = torch.zeros(2) + 1
        torch.zeros
        torch.Tensor.add
    """

    inner: TorchFunctionMode

    def __init__(self) -> None:
        pass

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        _push_mode(self)
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        _pop_mode()

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """An instance, as calling the class gives it."""
        warnings.warn("`Mode.push()` is no longer necessary and can be replaced with just `with Mode()`", stacklevel=2)
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _push_mode(mode: TorchFunctionMode) -> None:
    _overrides.install()
    local.modes = (*local.modes, mode)


def _pop_mode() -> TorchFunctionMode:
    *left, mode = local.modes
    local.modes = tuple(left)
    _overrides.uninstall()
    return mode


@contextlib.contextmanager
def _pop_mode_temporarily() -> Iterator[TorchFunctionMode]:
    modes = local.modes
    local.modes = modes[:-1]
    try:
        yield modes[-1]
    finally:
        local.modes = modes


def _get_current_function_mode() -> TorchFunctionMode | None:
    return local.modes[-1] if local.modes else None


def _get_current_function_mode_stack() -> list[TorchFunctionMode]:
    return list(local.modes)


@contextlib.contextmanager
def enable_reentrant_dispatch() -> Iterator[None]:
    """Inside the block, classes and modes take functions over again, also within a handler."""
    before = local.enabled, local.subclasses
    local.enabled = local.subclasses = True
    try:
        yield
    finally:
        local.enabled, local.subclasses = before


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "TorchFunctionMode", "enable_reentrant_dispatch", "get_ignored_functions", "get_overridable_functions",
    "get_testing_overrides", "handle_torch_function", "has_torch_function", "is_tensor_like",
    "is_tensor_method_or_property", "resolve_name", "wrap_torch_function",
]  # fmt: skip
