"""Owns how a call is handed to ``__torch_function__``: which arguments ask for it, the active modes, and the order.

May import only _errors; which functions hand their calls over is decided above.
"""

from __future__ import annotations

import importlib
import operator
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .._errors import type_name


class _Local(threading.local):
    modes: tuple = ()
    enabled = True  # False inside DisableTorchFunction
    subclasses = True  # False inside DisableTorchFunctionSubclass
    asked: tuple = (None, "")  # the last function that was handed over, and the name it was called by


local = _Local()


class _Exact:
    """What is set above: the Tensor class itself, and the functions whose results stay as they are."""

    tensor: Any = None
    nowrap: frozenset = frozenset()


exact = _Exact()


# Types that were looked at and have no handler. A set, so that one call in C looks at all arguments.
PLAIN: set[type] = {bool, int, float, complex, str, bytes, type(None), slice, type(...)}


def disabled(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """A ``__torch_function__`` that takes nothing over."""
    return func(*args, **(kwargs or {}))


def takes_over(kind: type) -> bool:
    """Whether a type handles functions that are called with its objects; exact tensors do not."""
    handler = getattr(kind, "__torch_function__", None)
    return handler is not None and handler is not disabled and kind is not exact.tensor


def asked(value: Any) -> bool:
    """Whether a mode, or the type of the value, would take a function of it over now."""
    return local.enabled and (bool(local.modes) or (local.subclasses and takes_over(type(value))))


def handler(values: Iterable[Any]) -> type | None:
    """The first type among those of the values that has a ``__torch_function__`` of its own, if there is one."""
    for kind in map(type, values):
        if kind not in PLAIN and takes_over(kind):
            own = getattr(kind.__torch_function__, "__func__", None)  # type: ignore[attr-defined]
            if own is not Overridable.__torch_function__.__func__:  # type: ignore[attr-defined]
                return kind
    return None


def _look_at(value: Any, found: list, exact: type | None) -> None:
    kind = type(value)
    if kind is exact:
        _insert(value, kind, found)
    elif kind in PLAIN:
        return
    elif takes_over(kind):
        _insert(value, kind, found)
    elif not issubclass(kind, (list, tuple)) and len(PLAIN) < 4096:
        PLAIN.add(kind)


def _insert(value: Any, kind: type, found: list) -> None:
    """Put a value before those of whose type its own is a subclass; one of each type is enough."""
    place = len(found)
    for i, other in enumerate(found):
        if type(other) is kind:
            return
        if place > i and issubclass(kind, type(other)):
            place = i
    found.insert(place, value)


def overloaded(values: Iterable[Any], exact: type | None = None) -> list:
    """The values, and members of lists and tuples among them, whose types take over: one of each, in order of asking.

    Args:
        values: the arguments of a call.
        exact: a type that counts although it does not take over.
    """
    found: list = []
    for value in values:
        if isinstance(value, (list, tuple)):
            if exact is not None or not PLAIN.issuperset(map(type, value)):
                for item in value:
                    _look_at(item, found, exact)
        else:
            _look_at(value, found, exact)
    return found


def hand_over(func: Callable, name: str, found: list, args: tuple, kwargs: dict, python: bool = False) -> Any:
    """Ask the innermost mode, and then each of the values, to compute ``func(*args, **kwargs)``.

    Args:
        func: the public function.
        name: its name in messages.
        found: what ``overloaded`` gave.
        python: whether torch's function is written in Python, which words its error differently.

    Raises:
        TypeError: everybody that was asked gave NotImplemented.
    """
    types, modes = tuple(map(type, found)), local.modes
    local.asked = func, name
    if modes:
        local.modes = modes[:-1]
        try:
            result = modes[-1].__torch_function__(func, types, args, kwargs)
        finally:
            local.modes = modes
        if result is not NotImplemented:
            return result
    for value in found:
        result = value.__torch_function__(func, types, args, kwargs)
        if result is not NotImplemented:
            return result
    if python:
        where = f" nor in mode {modes[-1]}" if modes else ""
        raise TypeError(
            f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}{where}"
        )
    asked = [f"  - mode object {mode}" for mode in modes[-1:]] + [f"  - tensor subclass {kind}" for kind in types]
    raise TypeError(
        f"Multiple dispatch failed for '{name}'; all __torch_function__ handlers returned NotImplemented:\n\n"
        + "\n".join(asked)
    )


class DisableTorchFunctionSubclass:
    """Inside the block, no class takes functions over; modes still do."""

    _name = "subclasses"

    def __enter__(self) -> None:
        self._before = getattr(local, self._name)
        setattr(local, self._name, False)

    def __exit__(self, *exc: Any) -> None:
        setattr(local, self._name, self._before)


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Inside the block, neither classes nor modes take functions over."""

    _name = "enabled"


class Overridable:
    """Gives subclasses of Tensor torch's ``__torch_function__``, and sees when one is made."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("rushlight."):
            if exact.tensor is not None and "__torch_function__" not in vars(cls):
                cls.__torch_function__ = disabled  # type: ignore[assignment]
        elif takes_over(cls):
            start()

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Compute ``func`` as for plain tensors, and give results this class.

        Args:
            func: the public function that was called.
            types: the types that take over, of its arguments.
            args: its positional arguments.
            kwargs: its keyword arguments.
        """
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        with DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            if cls is exact.tensor or func in exact.nowrap:
                return result
            return _converted(result, cls)


def _converted(result: Any, cls: type) -> Any:
    if isinstance(result, Overridable):
        return result if isinstance(result, cls) else result.as_subclass(cls)  # type: ignore[attr-defined]
    if isinstance(result, (tuple, list)):
        items = [_converted(item, cls) for item in result]
        if all(map(operator.is_, items, result)):
            return result
        kind: Any = type(result)
        # Named results take their items one by one.
        return kind._make(items) if hasattr(kind, "_make") else kind(items)
    return result


_started = False


def start() -> bool:
    """Let every public function look for types that take over, from now to the end of the process.

    Returns:
        bool: whether this was the first time.
    """
    global _started
    first, _started = not _started, True
    if first:
        importlib.import_module("rushlight._overrides").install()
    return first


_MISSING = object()


def rescued(function: Any, args: tuple, kwargs: dict) -> Any:
    """Answer a call that failed because nobody knew yet that there are types which take over.

    Call it from the ``except`` of a public function; it raises again what is no such case.

    Args:
        function: the public function.
        args: what it was called with.
        kwargs: what it was called with, by name.
    """
    if _started:
        raise
    found = overloaded((*args, *kwargs.values()))
    if not found:
        raise
    overrides = importlib.import_module("rushlight._overrides")
    outer = overrides.within_public_function(sys._getframe(1))
    if outer is not None:
        error = sys.exc_info()[1]
        if error is not None and outer.swapped is not None and not overrides.rescues(outer):
            start()
            error.add_note(
                f"{type_name(found[0])} has __torch_function__, and is the first such object that was met in this "
                f"process; {outer.name} was computing already. From now on functions ask first: call it again, or "
                "call rushlight.overrides.ask_always() at the start of the program."
            )
        raise
    start()
    return overrides.call(function, args, kwargs)
