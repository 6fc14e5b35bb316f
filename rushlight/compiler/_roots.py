"""Owns finding state: the modules, optimizers and tensors that a function can reach through what it holds.

May import the tensor class; modules and optimizers are known by their attributes, so that neither is imported.
"""

from __future__ import annotations

import collections
import dis
import functools
import inspect
import sys
import types
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _device, dtypes
from .._hooks import Hook
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ._groups import OF_ALL, tables

_HOME = __name__.rpartition(".compiler")[0]
_DEEP = 8
LONG = 1000
_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), np.number, np.bool_, dtypes.dtype, dtypes.Size, _device.device
)  # fmt: skip
_OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType)
_ANY = frozenset({"__dict__", "__getattribute__", "attrgetter", "eval", "exec", "getattr", "hasattr", "vars"})
_NOT_CALLED = frozenset({"__init__", "__new__", "__del__", "__repr__", "__init_subclass__", "__class__"})
_BAGS = frozenset({"argparse", "collections", "types"})  # their classes hold what users put there
MISSING = type("Missing", (), {"__repr__": lambda self: "(missing)"})()


def is_module(value) -> bool:
    """Whether it is an ``nn.Module``."""
    return hasattr(type(value), "named_parameters") and "_parameters" in getattr(value, "__dict__", ())


def is_optimizer(value) -> bool:
    """Whether it is an ``optim.Optimizer``."""
    return hasattr(type(value), "add_param_group") and "param_groups" in getattr(value, "__dict__", ())


def is_plain(value) -> bool:
    """Whether it is compared by value and cannot change."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_plain, value))
    return isinstance(value, _PLAIN)


def ours(function) -> bool:
    """Whether a function is rushlight's or the library's of Python or JAX: what it refers to does not change."""
    home = (getattr(function, "__module__", None) or "").partition(".")[0]
    return home in {_HOME, "jax", "numpy", "builtins", "torch"} or home in sys.stdlib_module_names


class Found:
    """What was found: state that may become an input of a program, and Python values that the program depends on.

    Attributes:
        storages: by id, every slot that may be read or written.
        tensors: by id, every tensor that owns one of them.
        modules, optimizers: by id.
        names: what to call a module in a message.
        containers: by id, the lists, dicts and sets on the way; ``watched`` are those outside modules and optimizers.
        globals: ``(dict or cell, name, value)`` for what functions refer to.
    """

    def __init__(self):
        self.storages: dict[int, Storage] = {}
        self.tensors: dict[int, Tensor] = {}
        self.modules: dict[int, Any] = {}
        self.optimizers: dict[int, Any] = {}
        self.names: dict[int, str] = {}
        self.globals: list = []
        self.containers: dict[int, Any] = {}
        self.watched: dict[int, Any] = {}
        self._inside = 0
        self._seen: dict[int, Any] = {}
        self._functions: dict = {}
        self._edges: dict = {}
        self._parent: int | None = None
        self._kinds: dict = {}
        self._own: set[int] = set()
        self._named: set[int] = set()
        self.asked: set | None = None

    def add_storage(self, storage: Storage) -> None:
        self.storages.setdefault(id(storage), storage)

    def add_tensor(self, tensor: Tensor) -> None:
        while id(tensor) not in self.tensors:
            self.tensors[id(tensor)] = tensor
            self.add_storage(tensor._storage)
            if tensor._base is not None:
                self.add_tensor(tensor._base)
            tensor = tensor.grad
            if tensor is None:
                return

    def add_module(self, module, name: str = "") -> None:
        for path, part in module.named_modules():
            if id(part) in self.modules:
                continue
            self.modules[id(part)] = part
            self.names[id(part)] = ".".join(filter(None, (name, path)))
            for table in (part._parameters, part._buffers):
                for tensor in table.values():
                    if tensor is not None:
                        self.add_tensor(tensor)
            for key, value in list(part.__dict__.items()):
                if key not in ("_parameters", "_buffers", "_modules"):
                    self._inside += 1
                    self.visit(value, 1)
                    self._inside -= 1
            self._kinds[type(part)] = None

    def add_optimizer(self, optimizer) -> None:
        if id(optimizer) in self.optimizers:
            return
        self.optimizers[id(optimizer)] = optimizer
        self._inside += 1
        for group in optimizer.param_groups:
            for value in group.values():
                self.visit(value, 1)
        for state in list(optimizer.state.values()):
            self.visit(state, 1)
        for cell in getattr(optimizer, "_cells", {}).values():
            self.visit(getattr(cell, "vector", None), 1)  # the numbers of a group
        self._inside -= 1
        for name, value in self._own_of(optimizer):
            self.visit(value, 1, name)
        self._inside += 1
        self.containers[id(optimizer.state)] = optimizer.state
        self._inside -= 1
        for table in tables(optimizer):
            for hook in table.values():
                self.visit(hook, 1)

    def _own_of(self, optimizer) -> list:
        """The attributes that a user's optimizer has besides those that all have."""
        kind = type(optimizer)
        if ours(kind):
            return []
        self._kinds[kind] = None
        return [(name, value) for name, value in vars(optimizer).items() if name not in OF_ALL]

    def add_function(self, function, depth: int) -> None:
        code = getattr(function, "__code__", None)
        if not isinstance(code, types.CodeType) or id(function) in self._functions:
            return
        self._functions[id(function)] = function
        for cell, name in zip(function.__closure__ or (), code.co_freevars):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self.globals.append((cell, name, value))
            self.visit(value, depth, name)
            self._add_members(value, _attributes(code), depth)
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, name, None)
            if value:
                self.globals.append((function, name, value))
                self.visit(value, depth)
        for name in _names(code):
            value = function.__globals__.get(name, MISSING)
            if value is not MISSING and not isinstance(value, _OPAQUE):
                self.globals.append((function.__globals__, name, value))
                self.visit(value, depth, name)
            self._add_members(value, _attributes(code), depth)

    def add_method(self, owner, function, depth: int) -> None:
        """Look through a function of a class, and through what it may reach by a name of the class."""
        self.add_function(function, depth)
        code = getattr(inspect.unwrap(function), "__code__", None)
        if isinstance(code, types.CodeType):
            self._add_members(owner, _attributes(code), depth)

    def _add_members(self, owner, names, depth: int) -> None:
        """Note the attributes of a user's class or module that functions name."""
        if not isinstance(owner, (type, types.ModuleType)):
            owner = type(owner)
        for name in names:
            for home in owner.__mro__ if isinstance(owner, type) else (owner,):
                if name in vars(home) and (id(home), name) not in self._functions and not _foreign(home):
                    self._functions[id(home), name] = home
                    self._add_member(home, name, names, depth)

    def _add_member(self, home, name: str, names, depth: int) -> None:
        value = plain = vars(home)[name]
        if isinstance(value, (staticmethod, classmethod)):
            plain = value.__func__
        elif isinstance(value, property):
            plain = value.fget
        if isinstance(value, _OPAQUE):
            self._add_members(value, names, depth)
        elif inspect.isfunction(plain) or plain is value:
            if name[:2] != "__":
                self.globals.append((home, name, value))
            if inspect.isfunction(plain) and isinstance(home, type):
                self.add_method(home, plain, depth)
            else:
                self.visit(value, depth, name)

    def finish(self) -> None:
        """Look through the methods that may be called of what was found, and note which attributes may be read."""
        for tensor in list(self.tensors.values()):
            for name, value in _added(tensor):
                self.visit(value, 1, name)
        count = -1
        while count != len(self._functions):
            count = len(self._functions)
            codes = [getattr(f, "__code__", None) for f in self._functions.values()]
            codes = [code for code in codes if isinstance(code, types.CodeType)]
            self.asked = {"forward"}.union(*map(_attributes, codes))
            for kind in list(self._kinds):
                self._add_members(kind, (*self.asked, *_special(kind)), 1)
        if not _ANY.isdisjoint(self.asked or ()):
            self.asked = None
        held = [(t, pair) for t in self.tensors.values() for pair in _added(t)]
        held += [(o, pair) for o in self.optimizers.values() for pair in self._own_of(o)]
        for owner, (name, value) in held:
            if self.asked is None or name in self.asked:
                self.globals.append((owner, name, value))

    def to_watch(self) -> list:
        """The containers that may be read, each with the names that matter of an object's attributes (None: all)."""
        asked, reached, stack = self.asked, {None}, [None]
        while stack:
            for name, child in self._edges.get(stack.pop(), ()):
                if child not in reached and (name is None or asked is None or name in asked):
                    reached.add(child)
                    stack.append(child)
        return [
            (c, asked if i in self._own else None)
            for i, c in self.watched.items() if i in reached and (asked is not None or i not in self._named)
        ]  # fmt: skip

    def _watch(self, container) -> None:
        self.containers[id(container)] = container
        if not self._inside:
            self.watched[id(container)] = container

    def visit(self, value, depth: int = 0, name: str = "", attribute: str | None = None) -> None:
        """Look for state in a value and in what it holds."""
        if isinstance(value, types.BuiltinMethodType):
            value = value.__self__
        if isinstance(value, (*_PLAIN, *_OPAQUE)):
            return
        self._edges.setdefault(self._parent, []).append((attribute, id(value)))
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        previous, self._parent = self._parent, id(value)
        self._look(value, depth, name)
        self._parent = previous

    def _look(self, value, depth: int, name: str) -> None:
        if isinstance(value, Tensor):
            self.add_tensor(value)
        elif isinstance(value, Storage):
            self.add_storage(value)
        elif is_module(value):
            self.add_module(value, name)
        elif is_optimizer(value):
            self.add_optimizer(value)
        elif depth >= _DEEP:
            return
        elif isinstance(value, dict):
            self._watch(value)
            for key, item in list(value.items()):
                self.visit(key, depth + 1)
                self.visit(item, depth + 1, str(key))
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            if isinstance(value, (list, set, collections.deque)):
                self._watch(value)
            for item in list(value):
                self.visit(item, depth + 1)
        elif isinstance(value, functools.partial):
            self.visit([value.func, value.args, value.keywords], depth + 1)
        elif inspect.ismethod(value):
            owner = value.__self__
            self.visit(owner, depth + 1)
            self.visit(value.__func__, depth + 1)
            self._kinds[owner if isinstance(owner, type) else type(owner)] = None
        elif inspect.isfunction(value):
            if not ours(value):
                self.add_function(value, depth + 1)
            elif hasattr(value, "__wrapped__"):
                self.visit(value.__wrapped__, depth + 1)
        elif type(value) is Hook:
            self.visit(value.function, depth + 1)
        else:
            self._look_at_object(value, depth)

    def _look_at_object(self, value, depth: int) -> None:
        kind = type(value)
        inside = ours(kind) and kind.__module__ not in _BAGS
        if not inside:
            self._kinds[kind] = None
            for name in _slots(kind):
                item = getattr(value, name, MISSING)
                if item is not MISSING:
                    self.globals.append((value, name, item))
                    self.visit(item, depth + 1, name, name)
        if hasattr(value, "__dict__"):
            if inside and hasattr(kind, "key_storage"):
                self.add_storage(value.key_storage())
            if inside and hasattr(kind, "_make_state"):
                value._make_state()
            self._inside += inside
            self._look_at_attributes(vars(value), depth + 1)
            self._inside -= inside

    def _look_at_attributes(self, own: dict, depth: int) -> None:
        """Look through the attributes of an object."""
        self._seen[id(own)] = own
        self._own.add(id(own))
        self._edges.setdefault(self._parent, []).append((None, id(own)))
        if depth < _DEEP:
            self._watch(own)
            if self._inside:  # of rushlight's objects, such as schedules, what functions name is watched
                self.watched[id(own)] = own
                self._named.add(id(own))
            self._parent = id(own)
            for key, item in list(own.items()):
                self.visit(item, depth + 1, key, key)


@functools.lru_cache(maxsize=512)
def _names(code) -> tuple:
    """The global names that a function's code may look up, functions inside it included."""
    names = dict.fromkeys([i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")])
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names.update(dict.fromkeys(_names(const)))
    return tuple(names)


@functools.lru_cache(maxsize=512)
def _attributes(code) -> tuple:
    """The attributes that a function's code may ask for, functions inside it included."""
    names = dict.fromkeys(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names.update(dict.fromkeys(_attributes(const)))
    return tuple(names)


def _added(tensor) -> list:
    """The attributes that a user put on a tensor."""
    return [(name, value) for name, value in vars(tensor).items() if not hasattr(type(tensor), name)]


@functools.lru_cache(maxsize=512)
def _slots(kind) -> tuple:
    """The attributes that objects of a user's class keep in slots."""
    names = []
    for home in kind.__mro__:
        own = vars(home).get("__slots__", ()) if not ours(home) else ()
        for name in (own,) if isinstance(own, str) else own:
            private = name[:2] == "__" and name[-2:] != "__"
            names.append(f"_{home.__name__.lstrip('_')}{name}" if private else name)
    return tuple(dict.fromkeys(n for n in names if n not in ("__dict__", "__weakref__")))


def _special(kind) -> list:
    """The methods of a user's class that are called without being named."""
    homes = [home for home in kind.__mro__ if not _foreign(home)]
    return [n for home in homes for n in vars(home) if n[:2] == "__" and n not in _NOT_CALLED]


def _foreign(home) -> bool:
    """Whether a class or module is no user's: its attributes do not change."""
    if isinstance(home, types.ModuleType):
        place = getattr(home, "__file__", None) or ""
        return ours(SimpleNamespace(__module__=home.__name__)) or "site-packages" in place
    return ours(home)


def fingerprint(value, depth: int = 0) -> Any:
    """What a mutable value looks like now, for a later comparison: plain contents by value, the rest by identity."""
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, Tensor) or is_module(value) or isinstance(value, _OPAQUE) or depth > 3:
        return id(value)
    if isinstance(value, dict):
        return "dict", tuple([(id(k) if not is_plain(k) else k, fingerprint(v, depth + 1)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        return "list", tuple([fingerprint(v, depth + 1) for v in value])
    if isinstance(value, (set, frozenset)):
        return "set", frozenset(v if is_plain(v) else id(v) for v in value)
    if callable(value) or not hasattr(value, "__dict__") or is_optimizer(value):
        return id(value)
    return id(value), fingerprint(vars(value), depth + 1)


def items_of(container, asked) -> list:
    """What to compare of a container: pairs of name and value; what is long goes by its length."""
    if isinstance(container, dict):
        return [(name, value) for name, value in container.items() if asked is None or name in asked]
    if len(container) >= LONG:
        return []
    return list(zip(container, container)) if isinstance(container, set) else list(enumerate(container))


def named(names, asked) -> set:
    """The names among those that matter."""
    return {n for n in names if n in asked} if isinstance(names, dict) else {pair[0] for pair in names}
