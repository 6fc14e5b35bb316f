"""Owns ``torch.futures``: results that arrive later, with callbacks.

Imports the standard library alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future as _Result
from typing import Any


class Future:
    """A result that is set once and may be waited for.

    Args:
        devices: where tensors of the result lie; JAX keeps track itself.

    Example:
        >>> import rushlight as torch
        >>> later = torch.futures.Future()
        >>> double = later.then(lambda done: 2 * done.wait())
        >>> later.set_result(21)
        >>> double.wait()
        42
    """

    def __init__(self, *, devices: list | None = None):
        self._result: _Result = _Result()
        self._once = threading.Lock()

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._result.done()

    def wait(self) -> Any:
        """The result, once it is there; raises the exception if there is one."""
        return self._result.result()

    def value(self) -> Any:
        """The result, which must be there.

        Raises:
            RuntimeError: it is not.
        """
        if not self.done():
            raise RuntimeError("Future.value(): expected a completed future, received one that is not; call wait()")
        return self._result.result()

    def _set(self, give: Callable) -> None:
        with self._once:
            if self.done():
                raise RuntimeError(
                    "Future can only be marked completed once, and this one is completed already; make a new "
                    "torch.futures.Future() for another result"
                )
            give()

    def set_result(self, result: Any) -> None:
        """Complete the future.

        Raises:
            RuntimeError: it is complete already.
        """
        self._set(lambda: self._result.set_result(result))

    def set_exception(self, result: BaseException) -> None:
        """Complete the future with an exception, which ``wait`` raises.

        Raises:
            RuntimeError: it is complete already.
        """
        if not isinstance(result, BaseException):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._set(lambda: self._result.set_exception(result))

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A future of what the callback gives for this one, once this one is complete."""
        following = Future()

        def run(_: Any) -> None:
            try:
                value = callback(self)
            except Exception as error:
                following.set_exception(error)
            else:
                following.set_result(value)

        self._result.add_done_callback(run)
        return following

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call the callback with this future once it is complete."""
        self._result.add_done_callback(lambda _: callback(self))


def collect_all(futures: list[Future]) -> Future:
    """A future of the list itself, complete when every member is.

    Example:
        >>> import rushlight as torch
        >>> first = torch.futures.Future()
        >>> first.set_result(1)
        >>> [one.wait() for one in torch.futures.collect_all([first]).wait()]
        [1]
    """
    everything, left, lock = Future(), [len(futures)], threading.Lock()

    def count(_: Future) -> None:
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            everything.set_result(futures)

    if not futures:
        everything.set_result(futures)
    for future in futures:
        future.add_done_callback(count)
    return everything


def wait_all(futures: list[Future]) -> list:
    """The results of all, in order; raises the first exception."""
    return [future.wait() for future in collect_all(futures).wait()]


__all__ = ["Future", "collect_all", "wait_all"]
