"""Owns noticing that a name of the library is given another value, as in ``functional.relu = ...``.

May import what counts changes.
"""

from __future__ import annotations

import sys
import types

from .._hooks import changes
from ._contents import MISSING

_HOME = __name__.partition(".")[0]


class Watched(types.ModuleType):
    """A module of the library that says where a name it has is set or deleted."""

    def __setattr__(self, name, value):
        old = vars(self).get(name, MISSING)
        if old is not MISSING and old is not value:
            changes.replace(self, name, old)
        super().__setattr__(name, value)

    def __delattr__(self, name):
        if name in vars(self):
            changes.replace(self, name, vars(self)[name])
        super().__delattr__(name)


class Library:
    """What names of the library stood for when a function was traced."""

    def __init__(self):
        for name, module in list(sys.modules.items()):
            if type(module) is types.ModuleType and name.partition(".")[0] == _HOME:
                module.__class__ = Watched
        self._count = changes.library
        self._held = {key: vars(home).get(key[1], MISSING) for key, (home, _) in changes.replaced.items()}

    def changed(self) -> bool:
        """Whether one of them stands for something else now."""
        if changes.library == self._count:
            return False
        for key, (home, first) in changes.replaced.items():
            if vars(home).get(key[1], MISSING) is not self._held.get(key, first):
                return True
        self._count = changes.library
        return False
