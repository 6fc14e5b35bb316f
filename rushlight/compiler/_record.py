"""Owns telling a trace what modules do, every attribute that is read or set, every call, and what storages are written.

May import the modes, storages and this folder; the base class of modules is found where somebody has loaded it.
"""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._graph.modes import state
from .._tensor.storage import Storage
from ._contents import ours
from ._host import plain as constant
from ._outside import MARKS

# Loaded by whoever has a module; this layer does not import it.
_NUMBERS = (int, float, np.floating, np.integer)
_MODULE = __name__.replace("compiler._record", "nn.modules.module")


class recording:
    """Tells the trace of attributes read from modules and of writes to storages, for the length of a block."""

    def __enter__(self):
        self.write = Storage.write
        Storage.write = _writing(self.write)
        found = sys.modules.get(_MODULE)
        self.base: Any = None if found is None or "__getattribute__" in vars(found.Module) else found.Module
        if self.base is not None:
            self.base.__getattribute__ = _getattribute
            self.call, self.init, self.set = self.base.__call__, self.base.__init__, self.base.__setattr__
            self.base.__call__, self.base.__init__ = _calling(self.call), _making(self.init)
            self.base.__setattr__ = _setting(self.set)

    def __exit__(self, *exc):
        Storage.write = self.write
        if self.base is not None:
            del self.base.__getattribute__
            # Where the class has no __call__ of its own, it inherits one again.
            self.base.__call__, self.base.__init__, self.base.__setattr__ = self.call, self.init, self.set


def _writing(plain):
    def write(self, array):
        if state.trace is not None:
            state.trace.wrote(self)
        plain(self, array)

    return write


def _making(plain):
    @functools.wraps(plain)
    def init(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if state.trace is not None:
            state.trace.made[id(self)] = self

    return init


def _setting(plain):
    def setattr(self, name, value):
        plain(self, name, value)
        if state.trace is not None and isinstance(value, (*MARKS, *_NUMBERS)):
            state.trace.assign(self, name)

    return setattr


def _asks(frame) -> bool:
    """Whether it is a user's code that is running."""
    return not ours(SimpleNamespace(__module__=frame.f_globals.get("__name__")))


def _calling(plain):
    def call(self, *args, **kwargs):
        trace = state.trace
        if trace is None or trace.watch is None:
            return plain(self, *args, **kwargs)
        return trace.watch.call(trace, self, plain, args, kwargs)

    return call


def _getattribute(self, name):
    trace = state.trace
    own = object.__getattribute__(self, "__dict__")
    absent = trace is not None and name not in own
    try:
        value = object.__getattribute__(self, name)
    except AttributeError:
        if trace is not None and name[:2] != "__":
            trace.missing(self, name)
        raise
    if trace is None or name[:2] == "__":
        if name == "__dict__" and trace is not None and _asks(sys._getframe(1)):
            for one, held in list(value.items()):
                constant(trace.read(self, one, held))
        return value
    if absent and name in own:  # looking put it there, as cached properties do
        trace.missing(self, name)
    return trace.read(self, name, value)
