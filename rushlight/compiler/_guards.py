"""Owns ``Values``: what Python held around a traced function that the program depends on, and whether it still does.

May import the tensor class and this folder's state finder.
"""

from __future__ import annotations

import collections
import functools
import math
from operator import is_, itemgetter
from typing import Any

from .._tensor.tensor import Tensor
from ._contents import MISSING, Contents, is_plain, ours, same
from ._library import Library
from ._outside import HOOKS
from ._roots import LONG, items_of, named

_SHORT = (dict, list, set, collections.deque)


class Values:
    """Guards of a program on Python's values, apart from those that a number can be read from.

    Args:
        trace: what was found and read.
        reads: ``(module, name, value)`` for what was read of modules.
        watched: containers and other values that can change, each with the names that matter.
        skipped: pairs of the id of a dict and a name that the program takes or writes.
    """

    def __init__(self, trace, reads, watched, skipped):
        found = trace.found
        self.watched = [
            (c, len(c), [pair for pair in items_of(c, asked) if (id(c), pair[0]) not in skipped], asked)
            for c, asked in watched
            if isinstance(c, _SHORT)
        ]
        self.odd = [(own, name, Contents(own.get(name), found.asked)) for own, name in trace.odd.values()]
        long = [c for c, _ in watched if isinstance(c, _SHORT) and not isinstance(c, dict)]
        self.library = Library()
        self.absent = found.absent
        self.spaces = [vars(kind) for kind in found.classes()]
        self.sizes = list(map(len, self.spaces))
        self.long = [(c, c.copy()) for c in long if len(c) >= LONG]
        self.looks = [Contents(c, found.asked) for c, _ in watched if not isinstance(c, _SHORT)]
        self.functions = [function for function, _ in found.code]
        self.code = [code for _, code in found.code]
        self.objects = [value for value, _ in found.objects]
        self.kinds = [kind for _, kind in found.objects]
        self.caches = [(cache, cache.cache_info().misses, _cleared(cache)) for cache in found.caches]
        self.classes = [k for k in dict.fromkeys(map(type, found.modules.values())) if ours(k)]
        self.forwards = [kind.forward for kind in self.classes]
        by_module: dict = {}
        for module, name, value in reads:
            if value is not MISSING and not isinstance(value, Tensor):
                by_module.setdefault(id(module), []).append(name)
        self._names = [(m, by_module.get(id(m), ())) for m in found.modules.values()]
        self.settle()

    def settle(self) -> None:
        """Take note of what modules hold: it was looked at closely."""
        self._read = [(m.__dict__, itemgetter(*names)) for m, names in self._names if names]
        self._values = [read(own) for own, read in self._read]
        self._modules = [m for m, _ in self._names]
        self._owns = [m.__dict__ for m in self._modules]
        self._shapes = list(map(type, self._modules)), list(map(len, self._owns))

    def fails(self) -> Any:
        """Why the program must not be used: None, or a tuple that ``explain`` can phrase."""
        for container, length, items, asked in self.watched:
            if len(container) != length and (asked is None or named(container, asked) != named(items, asked)):
                return "contents", type(container).__name__
            if isinstance(container, (list, collections.deque)):
                if length < LONG:
                    for (place, value), now in zip(items, container):
                        if now is not value and not (is_plain(value) and same(now, value)):
                            return "contents", f"list[{place}]"
                continue
            if isinstance(container, set):
                if length < LONG and not all(value in container for value, _ in items):
                    return "contents", "set"
                continue
            for name, value in items:
                now = dict.get(container, name, MISSING)  # a class may have a get() of its own
                if now is not value and not (is_plain(value) and same(now, value)):
                    return "name", container, name, value, now
        for own, name, held in self.odd:
            if held.changed(own.get(name)):
                return "contents", name
        for held in self.looks:
            if held.changed(held.value):
                return "contents", type(held.value).__name__
        for now, then in self.long:
            if len(now) != len(then) or not (now == then if isinstance(now, set) else all(map(is_, now, then))):
                return "contents", type(now).__name__
        for home, name in self.absent:
            if name in home:
                return "contents", name
        if list(map(len, self.spaces)) != self.sizes:
            return "contents", "a class"
        if self.library.changed():
            return "contents", "the library"
        if [f.__code__ for f in self.functions] != self.code:
            return "contents", "a function"
        if list(map(type, self.objects)) != self.kinds:
            return "contents", "__class__"
        for place, (cache, misses, clears) in enumerate(self.caches):
            if cache.cache_info().misses < misses or _cleared(cache) != clears:
                self.caches[place] = cache, math.inf, clears  # what it held does not come back
                return "contents", "a cache"
        if [kind.forward for kind in self.classes] != self.forwards:
            return "contents", "a class"
        return None

    def look_closer(self) -> bool:
        """Whether something of a module may have been changed without being counted."""
        kinds, sizes = self._shapes
        if list(map(len, self._owns)) != sizes or list(map(type, self._modules)) != kinds:
            return True
        try:
            return [read(own) for own, read in self._read] != self._values
        except KeyError:
            return True


def watched(optimizer, touched, rebound) -> list:
    """What must stay in place of the state of an optimizer: the tensors of each parameter that the program uses.

    Those at ``rebound``, pairs of the id of a dict and a name, are replaced by the program itself.
    """
    found = []
    for p, own in optimizer.state.items():
        values = list(own.items()) if isinstance(own, dict) else []
        values = [None if (id(own), name) in rebound else v for name, v in values]
        tensors = [isinstance(v, Tensor) for v in values]
        if any(isinstance(v, Tensor) and id(v._storage) in touched for v in values):
            found.append((p, own, values, is_ if all(tensors) else _is_or_number))
    return found


def _is_or_number(now, then) -> bool:
    return now is then or not isinstance(then, Tensor)


def structure(module) -> tuple:
    """What a module is made of besides values: the names it holds, and its hooks."""
    own = module.__dict__
    hooks = tuple([(h, *own[h].values()) for h in HOOKS if own.get(h)])
    return type(module), tuple(own["_parameters"]), tuple(own["_buffers"]), tuple(own["_modules"]), hooks


class _Clear:
    """``cache_clear`` of a cache that a program depends on: it may be filled again before the next call.

    Args:
        cache: the cache.
    """

    __slots__ = ("count", "plain")

    def __init__(self, cache):
        self.plain, self.count = cache.cache_clear, 0

    def __call__(self) -> None:
        self.count += 1
        self.plain()


def _cleared(cache) -> int:
    """How often a cache was emptied, counted from the first question on."""
    if type(cache) is not _Cache:
        return 0
    held = vars(cache).get("cache_clear")
    if type(held) is not _Clear:
        held = cache.cache_clear = _Clear(cache)
    return held.count


_Cache = type(functools.lru_cache(len))
