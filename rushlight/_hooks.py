"""Owns hooks: the table they are kept in, the record of one, the handle that removes it, and the loop that runs them.

May import only the standard library: a hook table knows nothing of tensors, nodes or modules.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

_hook_ids = itertools.count()


class _Changes:
    """Counts what compiled programs depend on and cannot see: hooks, and attributes of modules.

    Attributes:
        count: goes up with every change; a program looks closer only where it differs from last time.
        library: goes up where a name of the library itself is given another value.
        replaced: those names, with where they are and what they stood for at first.
    """

    __slots__ = ("count", "library", "replaced")

    def __init__(self):
        self.count = self.library = 0
        self.replaced: dict = {}

    def replace(self, home: Any, name: str, old: Any) -> None:
        """Note that a module or class of the library is about to hold something else under a name."""
        self.replaced.setdefault((id(home), name), (home, old))
        self.library += 1


changes = _Changes()


class RemovableHandle:
    """Removes a hook: ``handle.remove()``, or leave the ``with`` block.

    Args:
        hooks_dict: the table that holds the hook under ``handle.id``.
        extra_dict: a table, or a list of them, to take the id out of as well.
    """

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.id = next(_hook_ids)
        extra = extra_dict if isinstance(extra_dict, (list, tuple)) else [extra_dict]
        self._refs = tuple(_reference(table) for table in (hooks_dict, *extra) if table is not None)

    def remove(self) -> None:
        """Take the hook out; a second call does nothing."""
        for ref in self._refs:
            table = ref()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc) -> None:
        self.remove()

    def __getstate__(self) -> tuple:
        return self.id, [ref() for ref in self._refs]

    def __setstate__(self, state: tuple) -> None:
        global _hook_ids
        self.id, tables = state
        self._refs = tuple(_reference(table) for table in tables if table is not None)
        _hook_ids = itertools.count(max(next(_hook_ids), self.id + 1))


def _reference(table: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(table)
    except TypeError:  # a plain dict cannot be referred to weakly
        return lambda: table


class Hook:
    """One entry of a module's hook table: the function and how it wants to be called.

    Attributes:
        function: what the user registered.
        kind: which of the tables it stands in, for the table of all modules.
        with_kwargs: it takes the keyword arguments of the call too.
        always_call: it runs even where the call fails.
    """

    __slots__ = ("always_call", "function", "kind", "with_kwargs")

    def __init__(self, function: Callable, kind: str = "", with_kwargs: bool = False, always_call: bool = False):
        self.function = function
        self.kind = kind
        self.with_kwargs = with_kwargs
        self.always_call = always_call

    def __repr__(self) -> str:
        return f"Hook({self.function!r})"

    def __getstate__(self) -> tuple:
        return self.function, self.kind, self.with_kwargs, self.always_call

    def __setstate__(self, state: tuple) -> None:
        self.function, self.kind, self.with_kwargs, self.always_call = state


class HookTable(OrderedDict):
    """Hooks by id, in the order in which they run; a handle refers to it weakly.

    Whoever looks at it sees the functions, as in torch; how each wants to be called stands beside them.

    Attributes:
        flags: by id, the records of hooks that were registered.
    """

    def __init__(self, hooks: Any = ()):
        self.flags: dict[int, Hook] = {}
        super().__init__()
        self.update(hooks)

    def update(self, hooks: Any = (), **more) -> None:
        """Take over entries, from another table with their records."""
        if isinstance(hooks, HookTable):
            self.flags.update(hooks.flags)
        super().update(hooks, **more)

    def add(self, function: Callable | Hook, prepend: bool = False) -> RemovableHandle:
        """Register a function (or a ``Hook``).

        Args:
            function: what to call.
            prepend: run it before those already there.

        Returns:
            RemovableHandle: takes the hook out again.
        """
        handle = RemovableHandle(self)
        self[handle.id] = function
        if prepend:
            self.move_to_end(handle.id, last=False)
        return handle

    def __setitem__(self, key, hook) -> None:
        changes.count += 1
        if type(hook) is Hook:
            self.flags[key] = hook
            hook = hook.function
        super().__setitem__(key, hook)

    def __delitem__(self, key) -> None:
        changes.count += 1
        super().__delitem__(key)
        self.flags.pop(key, None)

    def pop(self, key, *default):
        """Take a hook out by its id."""
        changes.count += 1
        found = super().pop(key, *default)
        self.flags.pop(key, None)
        return found

    def clear(self) -> None:
        """Take all hooks out."""
        changes.count += 1
        super().clear()
        self.flags.clear()

    def records(self) -> list[tuple[int, Hook]]:
        """The entries as records; a function put into the table by hand has no flags."""
        found = []
        for key, function in self.items():
            hook = self.flags.get(key)
            found.append((key, Hook(function) if hook is None or hook.function is not function else hook))
        return found


#: The hooks of all modules at once, of every kind; empty but for debugging and profiling.
EVERYWHERE = HookTable()


def everywhere(kind: str) -> list[tuple[int, Hook]]:
    """The hooks of one kind that hold for all modules."""
    return [(key, hook) for key, hook in EVERYWHERE.records() if hook.kind == kind] if EVERYWHERE else []


class Call:
    """One call of a module: what its hooks see and may replace.

    Args:
        module: what is called.
        args, kwargs: with what; forward-pre hooks may replace both.

    Attributes:
        result: what came of it so far; forward hooks may replace it.
    """

    __slots__ = ("args", "done", "kwargs", "module", "result")

    def __init__(self, module, args: tuple, kwargs: dict):
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.done: set[int] = set()

    def before(self, hooks: Iterable[tuple[int, Hook]]) -> None:
        """Run forward-pre hooks.

        Raises:
            RuntimeError: a hook with keyword arguments returned something else than None or a pair.
        """
        for _, hook in hooks:
            if not hook.with_kwargs:
                out = hook.function(self.module, self.args)
                if out is not None:
                    self.args = out if isinstance(out, tuple) else (out,)
                continue
            out = hook.function(self.module, self.args, self.kwargs)
            if out is not None:
                if not isinstance(out, tuple) or len(out) != 2:
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {out}."
                    )
                self.args, self.kwargs = out

    def after(self, hooks: Iterable[tuple[int, Hook]], failed: bool = False) -> None:
        """Run forward hooks.

        Args:
            hooks: in order.
            failed: the call is on its way out with an exception. Only ``always_call`` hooks that have not run do so
                now, and an exception of theirs becomes a warning.
        """
        for key, hook in hooks:
            if failed and (not hook.always_call or key in self.done):
                continue
            if hook.always_call:
                self.done.add(key)
            args = (self.args, self.kwargs, self.result) if hook.with_kwargs else (self.args, self.result)
            try:
                out = hook.function(self.module, *args)
            except Exception as error:
                if not failed:
                    raise
                which = "global module" if hook.kind else "module"
                warnings.warn(
                    f"{which} forward hook with ``always_call=True`` raised an exception that was silenced as another "
                    f"error was raised in forward: {error}",
                    stacklevel=4,
                )
                continue
            if out is not None:
                self.result = out
