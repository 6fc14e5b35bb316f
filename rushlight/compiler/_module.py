"""Owns compiled modules: a twin of a module that shares everything with it, and calls it as one program.

May import the compiled function; a module is known by its attributes.
"""

from __future__ import annotations

import copy
import functools
import weakref

from ._function import Compiled

_classes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _call(reference, *args, **kwargs):
    return reference()._call_with_hooks(args, kwargs)


def compiled_call(module, fullgraph: bool = False, scan_layers: bool = False, name: str | None = None) -> Compiled:
    """A compiled function that calls a module, hooks included."""
    function = functools.partial(_call, weakref.ref(module))
    return Compiled(
        function,
        fullgraph=fullgraph,
        scan_layers=scan_layers,
        name=name or type(module).__name__,
        owner=weakref.ref(module),
    )


def compiled_twin(module, fullgraph: bool = False, scan_layers: bool = False, name: str | None = None):
    """A module of the same class, with the same attributes in the same dict, whose call is compiled.

    Parameter names stay as they are, and what is set on one is set on both.
    """
    kind = _twin_class(type(module))
    twin = object.__new__(kind)
    object.__setattr__(twin, "__dict__", module.__dict__)
    object.__setattr__(twin, "_original", module)
    object.__setattr__(twin, "_compiled_function", compiled_call(module, fullgraph, scan_layers, name))
    return twin


def _twin_class(kind):
    found = _classes.get(kind)
    if found is None:

        class Twin(kind):
            __slots__ = ("_compiled_function", "_original")

            def __call__(self, *args, **kwargs):
                return self._compiled_function(*args, **kwargs)

            def __deepcopy__(self, memo):
                return compiled_twin(copy.deepcopy(self._original, memo), *self._compiled_function.options)

            def __reduce_ex__(self, protocol):
                return compiled_twin, (self._original, *self._compiled_function.options)

        Twin.__name__, Twin.__qualname__, Twin.__module__ = kind.__name__, kind.__qualname__, kind.__module__
        found = _classes[kind] = Twin
    return found
