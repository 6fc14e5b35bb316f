"""Owns what is changed while a program is traced, and changed back: global functions, and how modules are called.

May import proxies and nn. Other threads see modules as they always are.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ..nn import Module
from .node import map_aggregate
from .proxy import Proxy

# Functions that ``wrap`` marked: the globals of the module that marked them, by its identity and the name.
wrapped_functions: dict[tuple[int, str], dict[str, Any]] = {}
_ABSENT = object()


def find_proxy(*values: Any) -> Proxy | None:
    """A proxy inside of nested values, the last one."""
    found: list[Proxy] = []
    map_aggregate(values, lambda one: found.append(one) if isinstance(one, Proxy) else None)
    return found[-1] if found else None


def recording(function: Callable) -> Callable:
    """A function whose calls with proxies become nodes instead of being run."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    wrapped.__dict__["_fx_recording"] = True
    return wrapped


class Patcher:
    """Puts recording functions in place of others, until it is told to undo that."""

    def __init__(self) -> None:
        self.done: list[tuple[dict[str, Any], str, Any]] = []
        self.visited: set[int] = set()

    def patch(self, frame_dict: dict[str, Any], name: str) -> None:
        """Let calls of a global function of a module, or of a builtin through it, be recorded."""
        before = frame_dict.get(name, _ABSENT)
        function = frame_dict[name] if before is not _ABSENT or not hasattr(builtins, name) else getattr(builtins, name)
        if getattr(function, "_fx_recording", False):
            return
        self.done.append((frame_dict, name, before))
        frame_dict[name] = recording(function)

    def patch_marked(self) -> None:
        """Do so for everything that ``wrap`` marked."""
        for (_, name), frame_dict in list(wrapped_functions.items()):
            self.patch(frame_dict, name)

    def patch_listed(self, frame_dict: dict[str, Any], function_ids: set[int]) -> None:
        """Do so for the functions of a module that are listed, once for each module."""
        if id(frame_dict) in self.visited:
            return
        self.visited.add(id(frame_dict))
        for name, value in list(frame_dict.items()):
            if not name.startswith("_") and callable(value) and id(value) in function_ids:
                self.patch(frame_dict, name)

    def undo(self) -> None:
        """Put everything back."""
        while self.done:
            frame_dict, name, before = self.done.pop()
            if before is _ABSENT:
                del frame_dict[name]
            else:
                frame_dict[name] = before


# One program at a time is traced: what is put in place of global functions is there for all threads.
lock = threading.RLock()


@contextlib.contextmanager
def modules_seen_by(call: Callable, getattr_: Callable) -> Iterator[None]:
    """A block in which, in this thread, calls of modules and what they look up go through two functions.

    Args:
        call: gets the usual call, the module, and the arguments.
        getattr_: gets the usual look-up, the module and the name.
    """
    mine = threading.get_ident()
    before = {name: vars(Module).get(name, _ABSENT) for name in ("__call__", "__getattr__")}
    usual_call, usual_getattr = Module.__call__, Module.__getattr__

    @functools.wraps(usual_call)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != mine:
            return usual_call(self, *args, **kwargs)
        return call(usual_call, self, args, kwargs)

    @functools.wraps(usual_getattr)
    def looked_up(self: Any, name: str) -> Any:
        if threading.get_ident() != mine:
            return usual_getattr(self, name)
        return getattr_(usual_getattr, self, name)

    Module.__call__, Module.__getattr__ = called, looked_up  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name, function in before.items():
            if function is _ABSENT:
                delattr(Module, name)
            else:
                setattr(Module, name, function)
