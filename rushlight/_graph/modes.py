"""Owns the per-thread switches that decide what an operator records: grad, inference, anomaly, trace, vmap, dual.

May import only the standard library.
"""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any


class _State(threading.local):
    grad = True
    inference = False
    anomaly = False
    anomaly_check_nan = True
    trace: Any = None
    vmap: Any = None
    dual: Any = None
    capturing = False
    autocast: Any = None


state = _State()


class Held:
    """Stands in for a tensor's ``.grad`` while a function is traced, until somebody looks.

    Args:
        value: what is really there.
    """

    __slots__ = ("opened", "value")

    def __init__(self, value):
        self.value = value
        self.opened = False


class _Mode:
    """A context manager that also decorates functions, generators and methods."""

    def __call__(self, function):
        if inspect.isclass(function):
            raise TypeError(f"{type(self).__name__} decorates functions, not classes; decorate the methods instead")
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args, **kwargs):
                with self._fresh():
                    source = function(*args, **kwargs)
                sent, failure = None, None
                while True:
                    try:
                        with self._fresh():
                            out = source.send(sent) if failure is None else source.throw(failure)
                    except StopIteration as stop:
                        return stop.value
                    sent = failure = None
                    try:
                        sent = yield out
                    except GeneratorExit:
                        source.close()
                        raise
                    except BaseException as raised:
                        failure = raised

            return generator

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self._fresh():
                return function(*args, **kwargs)

        return wrapped

    def _fresh(self) -> Any:
        return type(self)()


class no_grad(_Mode):
    """Record nothing on the tape inside the block.

    Example:
        >>> import rushlight as torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> with torch.no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    _value = False

    def __new__(cls, function=None) -> Any:
        self = super().__new__(cls)
        return self if function is None else self(function)

    def __enter__(self) -> None:
        self._previous = state.grad
        state.grad = self._value

    def __exit__(self, *exc) -> None:
        state.grad = self._previous


class enable_grad(no_grad):
    """Record on the tape inside the block, also within ``no_grad``."""

    _value = True


class set_grad_enabled(_Mode):
    """Set grad mode at once, and until the end of the block where used as one.

    Args:
        mode: record (True) or not.
    """

    def __init__(self, mode: bool):
        self._mode = bool(mode)
        self._previous = state.grad
        state.grad = self._mode

    def __call__(self, function):
        state.grad = self._previous
        return super().__call__(function)

    def __enter__(self) -> None:
        state.grad = self._mode

    def __exit__(self, *exc) -> None:
        state.grad = self._previous

    def _fresh(self):
        return set_grad_enabled(self._mode)


class inference_mode(_Mode):
    """Like ``no_grad``, and tensors made inside can never take part in autograd.

    Args:
        mode: switch on (True) or off.
    """

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if callable(mode):
            self._mode = True
            return self(mode)
        return self

    def __init__(self, mode: bool = True):
        self._mode = bool(mode)

    def __enter__(self) -> None:
        self._previous = state.grad, state.inference
        state.grad, state.inference = (False, True) if self._mode else (True, False)

    def __exit__(self, *exc) -> None:
        state.grad, state.inference = self._previous

    def _fresh(self):
        return inference_mode(self._mode)


def is_grad_enabled() -> bool:
    """Whether operators are recorded now."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return state.inference


class set_detect_anomaly:
    """Remember where each node was made, and stop at the first NaN in a gradient.

    Args:
        mode: on or off.
        check_nan: raise on NaN.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._previous = state.anomaly, state.anomaly_check_nan
        state.anomaly, state.anomaly_check_nan = bool(mode), check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc) -> None:
        state.anomaly, state.anomaly_check_nan = self._previous


class detect_anomaly(set_detect_anomaly):
    """Anomaly mode for the length of a block."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return state.anomaly
