"""Owns the policy of a load: what a file may name, build and fill in; everything else is refused or becomes a stub.

May import this folder; looks classes up among our own modules, and never imports because a file says so.
"""

from __future__ import annotations

import _compat_pickle
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np

from . import names, numpy_pickles, plain_types
from .brief import brief
from .builders import BUILDERS, MORE_VALUES, VALUES, bad
from .stub import Stub
from .unpickler import check_nest

# A file that names one of these means harm; it is refused even where unknown names only become stubs.
_BLOCKED = frozenset(
    ("os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "ctypes", "importlib", "runpy", "pty", "marshal")
)
_BLOCKED_BUILTINS = frozenset(("eval", "exec", "compile", "__import__", "open", "input", "breakpoint", "globals"))
# Python 2's names, which protocol 2 uses, and one that torch has moved.
_OLD_MODULES = {**_compat_pickle.IMPORT_MAPPING, "torch.tensor": "torch._tensor"}
_OLD_NAMES = _compat_pickle.NAME_MAPPING

_user: dict[str, Any] = {}


def add_safe_globals(safe_globals: list) -> None:
    """Let files build these classes and call these functions.

    Args:
        safe_globals: classes or functions, or tuples of (object, the full name a file has for it).

    Raises:
        ValueError: a tuple does not have two members.
        TypeError: the name in a tuple is not a string.

    Example:
        >>> import argparse
        >>> with safe_globals([argparse.Namespace]):
        ...     get_safe_globals()
        [<class 'argparse.Namespace'>]
    """
    for entry in safe_globals:
        _user.update({name: _object_of(entry) for name in _names_of(entry)})


def _object_of(entry):
    return entry[0] if isinstance(entry, tuple) else entry


def _names_of(entry) -> list[str]:
    if isinstance(entry, tuple):
        if len(entry) != 2:
            raise ValueError(
                f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(entry)}"
            )
        if type(entry[1]) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(entry[1])}")
        return [entry[1]]
    own = f"{entry.__module__}.{entry.__qualname__}"
    if own.startswith("rushlight."):
        # Files know our classes under torch's names.
        return [own, "torch." + own.removeprefix("rushlight.")]
    return [own]


def get_safe_globals() -> list:
    """What :func:`add_safe_globals` has registered."""
    return list(dict.fromkeys(_user.values()))


def clear_safe_globals() -> None:
    """Forget everything that :func:`add_safe_globals` registered."""
    _user.clear()


class safe_globals:
    """Register classes and functions inside a ``with`` block; see :func:`add_safe_globals`."""

    def __init__(self, safe_globals: list):
        self._entries = list(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_user)
        add_safe_globals(self._entries)

    def __exit__(self, *exc) -> None:
        _user.clear()
        _user.update(self._before)


def is_blocked(path: str) -> bool:
    """Whether a dotted name is of those that run programs or reach into Python, which no checkpoint needs."""
    module, _, name = path.rpartition(".")
    return module.split(".")[0] in _BLOCKED or (module == "builtins" and name in _BLOCKED_BUILTINS)


class Policy:
    """What one load may build.

    Args:
        weights_only: refuse unknown names instead of making stubs for them, and build no modules.
    """

    def __init__(self, weights_only: bool):
        self.weights_only = weights_only
        self._built: set[type] = set()
        if not weights_only:
            names.import_own()

    def find(self, module: str, name: str):
        """The value of a global that the file names.

        Raises:
            UnpicklingError: it is blocked, or unknown with ``weights_only=True``.
        """
        if (module, name) in _OLD_NAMES:
            module, name = _OLD_NAMES[module, name]
        module = _OLD_MODULES.get(module, module)
        path = f"{module}.{name}"
        if is_blocked(path):
            raise pickle.UnpicklingError(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
        if path in VALUES:
            return VALUES[path]
        if path in _user:
            return _user[path]
        if self.weights_only:
            shown = path.removeprefix("builtins.")
            raise pickle.UnpicklingError(
                f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
                f"`torch.serialization.add_safe_globals([{shown}])` or the "
                f"`torch.serialization.safe_globals([{shown}])` context manager to allowlist this "
                "global if you trust this class/function."
            )
        if path in MORE_VALUES:
            return MORE_VALUES[path]
        found = names.from_torch(module, name)
        if found is not None:
            self._built.add(found)
            return found
        return names.function_from_torch(module, name) or Stub(path, home=(module, name))

    def _trusted(self, kind) -> bool:
        return any(kind is one for one in _user.values())

    def _built_lazily(self) -> list:
        """The lazy parameters, which are saved as a call with ``requires_grad`` alone."""
        return [one for one in self._built if one.__module__ == "rushlight.nn.parameter"]

    def reduce(self, func, args):
        """Call what REDUCE asks for, if it may be called.

        Raises:
            UnpicklingError: it may not.
        """
        if not isinstance(args, tuple):
            raise pickle.UnpicklingError(f"REDUCE in a checkpoint: expected a tuple, received {type(args).__name__}")
        build = BUILDERS.get(id(func))
        if build is not None:
            try:
                return build(args, {})
            except numpy_pickles.UnusualType:
                if self.weights_only:
                    raise
                return Stub("numpy.dtype" if func is np.dtype else repr(func), args, call=(func, args))
        if type(func) is Stub:
            named = func.class_name == "builtins.getattr" and len(args) == 2 and type(args[1]) is str
            if named and type(args[0]) is Stub and args[0].is_reference:
                found = names.function_from_torch(args[0].class_name, args[1])
                return found or Stub(f"{args[0].class_name}.{args[1]}", call=(func, args))
            return Stub(func.class_name, args, call=(func, args))
        if self._trusted(func):
            return func(*args)
        if any(func is one for one in self._built_lazily()) and len(args) == 1 and type(args[0]) is bool:
            return func(*args)
        raise pickle.UnpicklingError(f"Trying to call reduce for unrecognized function {brief(func)}")

    def new(self, kind, args, kwargs=None):
        """Make the object NEWOBJ asks for, without running its ``__init__``.

        Raises:
            UnpicklingError: the class is not one that may be built.
        """
        kwargs = {} if kwargs is None else kwargs
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise pickle.UnpicklingError(f"NEWOBJ in a checkpoint: expected a tuple, received {type(args).__name__}")
        if type(kind) is Stub:
            return Stub(kind.class_name, args, kwargs or None, home=kind.home)
        if isinstance(kind, type) and self._trusted(kind):
            return kind.__new__(kind, *args, **kwargs)
        if isinstance(kind, type) and kind in self._built:
            # Arguments mean that the class makes itself in a way of its own; that code is not run.
            home = "torch" + kind.__module__.removeprefix("rushlight"), kind.__qualname__
            return Stub(".".join(home), args, kwargs, home=home) if args else object.__new__(kind)
        build = BUILDERS.get(id(kind))
        if build is not None:
            return build(args, kwargs)
        raise pickle.UnpicklingError(
            "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got "
            f"{brief(kind)}"
        )

    def build(self, obj, state) -> None:
        """Fill an object in, as BUILD asks.

        Raises:
            UnpicklingError: the object is of a kind that is not filled in, or the state does not fit it.
        """
        kind = type(obj)
        if kind is Stub:
            obj.state = state
        elif kind is OrderedDict:
            taken = not isinstance(state, dict) or any(not isinstance(k, str) or hasattr(kind, k) for k in state)
            if taken:
                raise bad("attributes of an OrderedDict", (state,))
            obj.__dict__.update(state)
        elif isinstance(obj, np.dtype):
            numpy_pickles.set_dtype(obj, state)
        elif kind is np.ndarray:
            try:
                numpy_pickles.set_array(obj, state)
            except numpy_pickles.UnusualType:
                if self.weights_only:
                    raise
                numpy_pickles.hold(obj, Stub("numpy.ndarray", (), state=state, call=numpy_pickles.EMPTY))
        elif plain_types.fill(obj, state):
            return
        elif kind in self._built:
            # Our own classes keep names and values; their code must not meet anything else.
            if not isinstance(state, dict) or any(type(key) is not str for key in state):
                raise bad(f"state of {kind.__name__}", (state,))
            check_nest(state)
            _fill(obj, state)
        elif self._trusted(kind):
            _fill(obj, state)
        else:
            raise pickle.UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{kind}"
            )


def _fill(obj, state) -> None:
    """What pickle does: ``__setstate__``, else the instance's dict, and its slots."""
    own = getattr(obj, "__setstate__", None)
    if own is not None:
        own(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    for part in (state, slots):
        if part is not None and (not isinstance(part, dict) or any(type(k) is not str for k in part)):
            raise bad(f"state of {type(obj).__name__}", (part,))
    if state:
        obj.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(obj, name, value)
