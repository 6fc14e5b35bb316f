"""Owns telling a trace what modules do: every attribute that is read, and every call.

May import the modes; the base class of modules is found where somebody has loaded it.
"""

from __future__ import annotations

import sys
from typing import Any

from .._graph.modes import state

# Loaded by whoever has a module; this layer does not import it.
_MODULE = __name__.replace("compiler._record", "nn.modules.module")


class recording:
    """Tells the trace of every attribute that is read from a module, for the length of a block."""

    def __enter__(self):
        found = sys.modules.get(_MODULE)
        self.base: Any = None if found is None or "__getattribute__" in vars(found.Module) else found.Module
        if self.base is not None:
            self.base.__getattribute__ = _getattribute
            self.call = self.base.__call__
            self.base.__call__ = _calling(self.call)

    def __exit__(self, *exc):
        if self.base is not None:
            del self.base.__getattribute__
            # Where the class has no __call__ of its own, it inherits one again.
            self.base.__call__ = self.call


def _calling(plain):
    def call(self, *args, **kwargs):
        trace = state.trace
        if trace is None or trace.watch is None:
            return plain(self, *args, **kwargs)
        return trace.watch.call(trace, self, plain, args, kwargs)

    return call


def _getattribute(self, name):
    trace = state.trace
    try:
        value = object.__getattribute__(self, name)
    except AttributeError:
        if trace is not None and name[:2] != "__":
            trace.missing(self, name)
        raise
    if trace is None or name[:2] == "__":
        return value
    return trace.read(self, name, value)
