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
    """Puts functions in place of others, until it is told to undo that, or its block ends."""

    def __init__(self) -> None:
        self.undone_by: list[Callable[[], Any]] = []
        self.visited: set[int] = set()

    def patch(self, frame_dict: dict[str, Any], name: str) -> None:
        """Let calls of a global function of a module, or of a builtin through it, be recorded."""
        if name in frame_dict or not hasattr(builtins, name):
            function = frame_dict[name]
            undo = functools.partial(frame_dict.__setitem__, name, function)
        else:
            function = getattr(builtins, name)
            undo = functools.partial(frame_dict.__delitem__, name)
        if not getattr(function, "_fx_recording", False):
            self.undone_by.append(undo)
            frame_dict[name] = recording(function)

    def patch_method(self, cls: type, name: str, new_fn: Callable, deduplicate: bool = True) -> None:
        """Put a function in the place of a method.

        Args:
            cls: the class.
            name: the method's name.
            new_fn: the function.
            deduplicate: accepted: what is there already is called by the function itself.
        """
        before = vars(cls).get(name, _ABSENT)
        absent = before is _ABSENT
        undo = functools.partial(delattr, cls, name) if absent else functools.partial(setattr, cls, name, before)
        self.undone_by.append(undo)
        setattr(cls, name, new_fn)

    def patch_marked(self) -> None:
        """Let calls of everything that ``wrap`` marked be recorded."""
        for (_, name), frame_dict in list(wrapped_functions.items()):
            self.patch(frame_dict, name)

    def patch_listed(self, frame_dict: dict[str, Any], function_ids: set[int]) -> None:
        """Let calls of the functions of a module that are listed be recorded; each module is looked at once."""
        if id(frame_dict) in self.visited:
            return
        self.visited.add(id(frame_dict))
        for name, value in list(frame_dict.items()):
            if not name.startswith("_") and callable(value) and id(value) in function_ids:
                self.patch(frame_dict, name)

    def undo(self) -> None:
        """Put everything back."""
        while self.undone_by:
            self.undone_by.pop()()

    def __enter__(self) -> Patcher:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.undo()


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

    with Patcher() as patcher:
        patcher.patch_method(Module, "__call__", called)
        patcher.patch_method(Module, "__getattr__", looked_up)
        yield
