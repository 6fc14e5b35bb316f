"""Owns what a function does to Python objects outside of it: noticing what it writes, and putting things back.

May import the tensor class and this folder's state finder.
"""

from __future__ import annotations

import collections
import contextvars
import operator
import types
from typing import Any

from .._hooks import HookTable
from .._tensor.tensor import Tensor
from ._contents import MISSING, is_plain, pairs, same
from ._host import HostNumber, written
from ._numbers import Attribute, Name, holder, look_up

# Attributes that belong to the machinery: they are compared as structure, or do not matter.
STRUCTURE = ("_parameters", "_buffers", "_modules")
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
INTERNAL = frozenset({*STRUCTURE, *HOOKS, "_hooked", "_non_persistent_buffers_set", "_is_full_backward_hook"})

_THING = "an object or dict"
# What a function may set attributes to, besides numbers.
MARKS = (bool, str, type(None))


class NotYet(Exception):
    """The first call, which runs eagerly, makes something: parameters of a lazy module, what a cache holds, hooks."""


class Unsupported(Exception):
    """The function does something that a program cannot repeat.

    Args:
        reason: what it does.
        remedy: what to do about it.
    """

    def __init__(self, reason: str, remedy: str):
        super().__init__(f"{reason}. {remedy}")


class MoreNumbers(Exception):
    """Numbers outside are given other ones, as counters are: they must be computed anew on every call.

    Args:
        places: where they are.
    """

    def __init__(self, places):
        super().__init__()
        self.places = places


class Others:
    """Arrays that are no tensors, caches of functions, and hooks of modules, for the length of a trace.

    Args:
        found: what a function can reach.
    """

    def __init__(self, found):
        self._arrays = [(a, a.copy() if hasattr(a, "dtype") else bytes(a)) for a in found.arrays if _writable(a)]
        self._caches = [(cache, cache.cache_info().currsize) for cache in found.caches]
        self._hooks = [(m.__dict__, name, _entries(m.__dict__, name)) for m in found.modules.values() for name in HOOKS]

    def written(self) -> str | None:
        """What the function wrote there; None for nothing."""
        for now, before in self._arrays:
            if bytes(now) != bytes(before):
                return f"a {type(now).__name__} outside the function"
        return None

    def hooked(self) -> bool:
        """Whether the function put hooks on modules, or took them off, and left it at that."""
        return any(_entries(own, name) != before for own, name, before in self._hooks)

    def forget(self) -> bool:
        """Empty caches of functions that hold something of the trace; whether there were any."""
        grown = [cache for cache, size in self._caches if cache.cache_info().currsize > size]
        for cache in grown:
            cache.cache_clear()
        return bool(grown)

    def put_back(self) -> None:
        """The trace is over."""
        for own, name, before in self._hooks:
            if _entries(own, name) != before:
                own[name].clear()
                own[name].update(before)
        for now, before in self._arrays:
            if bytes(now) != bytes(before):
                memoryview(now).cast("B")[:] = memoryview(before).cast("B")


def _entries(own: dict, name: str) -> HookTable:
    """The hooks in a table of a module, which may have none."""
    return HookTable(own.get(name) or ())


def in_own_context(function, args, kwargs):
    """Call a function, and let no context variable keep what it sets.

    Raises:
        Unsupported: it sets one, and leaves it so.
    """
    before = contextvars.copy_context()
    context = before.copy()
    out = context.run(function, *args, **kwargs)
    for variable, value in context.items():
        if before.get(variable, MISSING) is not value:
            raise Unsupported(f"the context variable '{variable.name}' is set", "Set it outside the function.")
    return out


def _writable(value) -> bool:
    view = memoryview(value) if not getattr(getattr(value, "dtype", None), "hasobject", False) else None
    return view is not None and not view.readonly and view.c_contiguous


def _stands_for(now, value) -> bool:
    """Whether it is a stand-in of the trace for a clock."""
    return isinstance(now, (types.FunctionType, type)) and vars(now).get("stands_for", MISSING) is value


def check_names(trace) -> None:
    """Refuse what sets variables outside, and options of optimizers; let the first call put hooks on modules."""
    if trace.others.hooked():
        raise NotYet
    for home, name, value in trace.found.globals:
        now = look_up(home, name)
        kept = not _changed(trace, home, name, value, now)
        if kept or id(home) in trace.found.passed or _stands_for(now, value):
            continue
        if not _count(trace, home, name, value, now):
            raise Unsupported(f"the variable '{name}' outside the function is set", "Return its value instead.")
    written = trace.others.written()
    if written is not None:
        raise Unsupported(f"{written} is written", "Keep what changes in a tensor, or write it outside.")
    added = trace.groups.added()
    if added is not None:
        raise Unsupported(f"an optimizer is given the attribute '{added}'", "Set it in the optimizer's __init__.")
    written = trace.groups.written()
    if written is not None:
        raise Unsupported(
            f"'{written}' of an optimizer's group is written",
            "Write it outside the function, or use a schedule of torch.optim.lr_scheduler.",
        )


def find_slots(trace, outputs) -> tuple[list, list, set]:
    """Tensors that were put into attributes of modules: they are put there on every call.

    Returns:
        tuple: those without a history, as ``(attributes, name, output, class, device)``, and those with one, which are
            results like any other, as ``(attributes, name, tensor)``; and which held something that nobody asked for.
    """
    slots: list = []
    histories: list = []
    unread: set = set()
    for container, before in trace._kept_containers:
        if trace.given_containers.holds(container):
            continue
        if isinstance(container, dict):
            _written(trace, container, before, _THING, outputs, slots)
        elif not _holds(container, before):
            raise Unsupported(
                f"a {type(container).__name__} outside the function is written",
                "Return what it is to hold instead.",
            )
    for m, own, tables in trace._kept:
        for name, value in list(m.__dict__.items()):
            if isinstance(value, Tensor) and name in own and own[name] is not value:
                if trace.reads.get((id(m), name), (MISSING,))[-1] is own[name]:
                    continue
                unread.add((id(m.__dict__), name))
                if value._edge() is not None:
                    histories.append((m.__dict__, name, value))
                    m.__dict__[name] = own[name]
        _written(trace, m.__dict__, own, _called(trace, m), outputs, slots, m)
        for where, before in zip((m.__dict__[s] for s in STRUCTURE), tables):
            _written(trace, where, before, _called(trace, m), outputs, slots)
    return slots, histories, unread


def _is_mark(value) -> bool:
    """Whether it is a constant; what Python computes on every call may be a truth, and answers as one."""
    return isinstance(value, MARKS) and type(value) is not HostNumber


def find_marks(trace) -> list:
    """The attributes of modules that were set to plain values, as ``train()`` does: ``(attributes, name, value)``."""
    held = [(own, name, own.get(name, MISSING)) for (_, name), own in trace.assigned.items()]
    return [mark for mark in held if _is_mark(mark[2])]


def marks_things(result, found) -> bool:
    """Whether the function sets an attribute of an object, or an entry of a dict, that had another value."""
    own = {id(m.__dict__) for m in found.modules.values()}
    return any(id(where) not in own for where, _, _ in result.assigned)


def _holds(container, before) -> bool:
    """Whether a list, deque or set holds what it held; sets have no order that lasts."""
    if isinstance(container, set):
        return set(map(id, container)) == set(map(id, before))
    return len(container) == len(before) and all(map(operator.is_, container, before))


def _changed(trace, home, name, before, now, module=None) -> bool:
    """Whether a place was written: one whose number is computed on every call, also with what it holds in this one."""
    home = holder(home, name)
    host = trace.root.hosts.get(((id(home) if module is None else id(module)), name))
    if module is not None and (id(home), name) in trace.assigned:
        return host is None or now is not host  # nobody need have read it, so that it is not guarded
    return now is not before if host is None or module is not None else now is not host


def _count(trace, home, name, before, now, module=None) -> bool:
    """Whether a place was given a number or a mark, as every call is to do; where what it held mattered, see there."""
    home = holder(home, name)
    key = (id(home) if module is None else id(module)), name
    if _is_mark(now) and is_plain(before):
        trace.hosted.append((home, name, now))
        return True
    if not written(now) or not (is_plain(before) or before is MISSING):
        return False
    if key in trace.root.hosts or not written(before) or (module is not None and key not in trace.reads):
        trace.hosted.append((home, name, now))
    else:
        trace.more.append(Name(home, name) if module is None else Attribute(module, name))
    return True


def _written(trace, where, before, owner, outputs, slots, module=None) -> None:
    if len(where) < len(before) or any(name not in where for name in before):
        raise Unsupported(f"something is taken out of {owner}", "Take it out outside the function.")
    for name, value in pairs(where):
        if name in INTERNAL or not _changed(trace, where, name, before.get(name, MISSING), value, module):
            continue
        if _is_mark(value) and (owner is _THING or (id(where), name) in trace.assigned):
            trace.assigned[id(where), name] = where
            continue
        known = (name in before) if module is None else ((id(where), name) in trace.assigned)
        if known and _count(trace, where, name, before.get(name, MISSING), value, module):
            continue
        if isinstance(value, Tensor):
            if value._edge() is not None:
                raise Unsupported(
                    f"attribute '{name}' of {owner} is given a tensor with a history",
                    "Store value.detach() instead.",
                )
            trace.replaced.add(id(before.get(name)))
            slots.append((where, name, len(outputs), type(value), value._storage.device))
            outputs.append(value._array())
        elif not (name in before and is_plain(value) and same(before[name], value)):
            raise Unsupported(
                f"attribute '{name}' of {owner} is written",
                "Keep what changes in a buffer (register_buffer), or write it outside the function.",
            )


def _called(trace, module) -> str:
    path = trace.found.names.get(id(module))
    return f"module '{path}'" if path else f"the {type(module).__name__}"


def restore(container, before) -> None:
    """Give a list, deque, set or dict its contents back, past the methods of a user's class."""
    if isinstance(container, list):
        list.__setitem__(container, slice(None), before)
    elif isinstance(container, dict):
        kind: Any = collections.OrderedDict if isinstance(container, collections.OrderedDict) else dict
        if len(container) != len(before) or any(dict.get(container, k, MISSING) is not v for k, v in before.items()):
            kind.clear(container)
            kind.update(container, before)
    else:
        container.clear()
        (container.extend if isinstance(container, collections.deque) else container.update)(before)


def put_back(own: dict, kept: dict) -> None:
    for name in [n for n in own if n not in kept]:
        del own[name]
    for name, value in kept.items():
        if own.get(name, MISSING) is not value:
            own[name] = value
