"""Owns ``Values``: what Python held around a traced function that the program depends on, and whether it still does.

May import the tensor class and this folder's state finder.
"""

from __future__ import annotations

import collections
import math
from operator import is_, itemgetter
from typing import Any

from .._tensor.tensor import Tensor
from ._contents import MISSING, Contents, ours
from ._roots import LONG

_SHORT = (dict, list, set, collections.deque)


class Values:
    """Guards of a program on Python's values, apart from those that a number can be read from.

    Args:
        trace: what was found and read.
        reads: ``(module, name, value)`` for what was read of modules.
        watched: containers and other values that can change, each with the names that matter.
    """

    def __init__(self, trace, reads, watched):
        found = trace.found
        self.odd = [(own, name, Contents(own.get(name), found.asked)) for own, name in trace.odd.values()]
        long = [c for c, _ in watched if isinstance(c, _SHORT) and not isinstance(c, dict)]
        self.long = [(c, c.copy()) for c in long if len(c) >= LONG]
        self.looks = [Contents(c, found.asked) for c, _ in watched if not isinstance(c, _SHORT)]
        self.functions = [function for function, _ in found.code]
        self.code = [code for _, code in found.code]
        self.objects = [value for value, _ in found.objects]
        self.kinds = [kind for _, kind in found.objects]
        self.caches = [(cache, cache.cache_info().misses) for cache in found.caches]
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
        self.modules = [_held(m, names) for m, names in self._names]

    def fails(self) -> Any:
        """Why the program must not be used: None, or a tuple that ``explain`` can phrase."""
        for own, name, held in self.odd:
            if held.changed(own.get(name)):
                return "contents", name
        for held in self.looks:
            if held.changed(held.value):
                return "contents", type(held.value).__name__
        for now, then in self.long:
            if len(now) != len(then) or not (now == then if isinstance(now, set) else all(map(is_, now, then))):
                return "contents", type(now).__name__
        if [f.__code__ for f in self.functions] != self.code:
            return "contents", "a function"
        if list(map(type, self.objects)) != self.kinds:
            return "contents", "__class__"
        for place, (cache, misses) in enumerate(self.caches):
            if cache.cache_info().misses < misses:
                self.caches[place] = cache, math.inf  # what it held does not come back
                return "contents", "a cache"
        if [kind.forward for kind in self.classes] != self.forwards:
            return "contents", "a class"
        return None

    def look_closer(self) -> bool:
        """Whether something of a module may have been changed without being counted."""
        for kind, module, own, size, read, values in self.modules:
            if type(module) is not kind or len(own) != size:
                return True
            try:
                if read is not None and read(own) != values:
                    return True
            except KeyError:
                return True
        return False


def _held(module, names) -> tuple:
    own = module.__dict__
    read = itemgetter(*names) if names else None
    return type(module), module, own, len(own), read, None if read is None else read(own)
