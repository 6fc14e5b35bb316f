"""Owns finding state: the modules, optimizers and tensors that a function can reach through what it holds.

May import the tensor class; modules and optimizers are known by their attributes, so that neither is imported.
"""

from __future__ import annotations

import builtins
import collections
import dis
import functools
import inspect
import operator
import os
import sys
import types
import weakref
from types import SimpleNamespace
from typing import Any

from .._hooks import Hook
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ._contents import (
    ARRAYS,
    BAGS,
    MISSING,
    ODD,
    OPAQUE,
    PLAIN,
    asks_itself,
    inside,
    is_module,
    is_operator,
    is_optimizer,
    moves_on,
    ours,
    pairs,
    slots,
)
from ._groups import OF_ALL, tables

_DEEP = 8
LONG = 1000
_BY_TEXT = frozenset({"environ", "eval", "exec", "getenv", "globals", "import_module", "modules"})
_COMPILED = frozenset({f"{__package__}._module", f"{__package__}._function"})
_MAKE = frozenset({"__init__", "__new__"})
_ANY = frozenset({"__dict__", "__getattribute__", "attrgetter", "eval", "exec", "getattr", "hasattr", "vars"})
_NOT_CALLED = frozenset({"__init__", "__new__", "__del__", "__repr__", "__init_subclass__", "__class__"})


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
        self.spares = 4  # inputs for numbers, of each kind
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
        self._called: dict = {}
        self._any = False
        self.asked: set | None = None
        self.absent: list = []
        self.code: list = []
        self.objects: list = []
        self.arrays: list = []
        self.caches: list = []
        self.records: dict = {}
        self.passed: dict = {}

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
        own = vars(optimizer)  # a method may be put there in the place of the class's
        self.watched[id(own)] = own
        self._own.add(id(own))
        self._named.add(id(own))
        self._edges.setdefault(id(optimizer), []).append((None, id(own)))
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
        self.code.append((function, code))
        if vars(function):
            self._look_at_attributes(vars(function), depth)
        # A decorator's function says that it is of the module of what it wraps; what is its own module's is settled.
        library = ours(SimpleNamespace(__module__=function.__globals__.get("__name__")))
        for name in () if library else _imported(code):
            self._add_members(sys.modules.get(name), _attributes(code), depth)
        if not library and not _BY_TEXT.isdisjoint(_attributes(code)):
            self._add_by_text(function, code, depth)
        for cell, name in zip(function.__closure__ or (), code.co_freevars):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self.globals.append((cell, name, value))
            self.visit(value, depth, name)
            self._may_make(value)
            self._add_members(value, _attributes(code), depth)
        for name in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, name, None)
            if value:
                self.globals.append((function, name, value))
                self.visit(value, depth)
        for name in () if library else _names(code):
            value = function.__globals__.get(name, MISSING)
            if value is MISSING and not hasattr(builtins, name):
                self.absent.append((function.__globals__, name))
            if value is not MISSING and not isinstance(value, OPAQUE):
                self.globals.append((function.__globals__, name, value))
                self.visit(value, depth, name)
            self._may_make(value)
            self._add_members(value, _attributes(code), depth)

    def _may_make(self, value) -> None:
        """Note a class that a function refers to."""
        if isinstance(value, type) and not _foreign(value):
            self._called[value] = None
            self.visit(value)

    def _add_by_text(self, function, code, depth: int) -> None:
        """What a function may reach through ``globals()``, ``eval``, ``os.environ`` or ``sys.modules``."""
        names = _attributes(code)
        if "environ" in names or "getenv" in names:
            self.visit(os.environ._data, depth)  # pyright: ignore[reportAttributeAccessIssue]
        if "modules" in names or "import_module" in names:
            for text in filter(sys.modules.get, _texts(code)):
                self._add_members(sys.modules[text], names, depth)
        if not {"globals", "eval", "exec"}.isdisjoint(names):
            for name, value in list(function.__globals__.items()):
                if name[:2] != "__" and not isinstance(value, OPAQUE):
                    self.globals.append((function.__globals__, name, value))
                    self.visit(value, depth, name)

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
                if name in vars(home) and (id(home), name) not in self._functions and _may_change(home, name):
                    self._functions[id(home), name] = home
                    self._add_member(home, name, names, depth)

    def _add_member(self, home, name: str, names, depth: int) -> None:
        value = plain = vars(home)[name]
        if isinstance(value, (staticmethod, classmethod)):
            plain = value.__func__
        elif isinstance(value, property):
            plain = value.fget
        if isinstance(value, OPAQUE):
            self._may_make(value)
            self._add_members(value, names, depth)
        elif inspect.isfunction(plain) or plain is value:
            if name[:2] != "__":
                self.globals.append((home, name, value))
            if inspect.isfunction(plain) and isinstance(home, type):
                self.add_method(home, plain, depth)
            else:
                self.visit(value, depth, name)

    def forget(self, records, met) -> None:
        """Let go of objects that are told apart by what they hold, but for those that functions refer to themselves."""
        self.records = {id(r): r for r in records if id(r) in met}
        others = {id(r) for r in records if id(r) not in met}
        self.objects = [pair for pair in self.objects if id(pair[0]) not in others]
        self.passed = {id(r): r for r in records if id(r) in others}

    def finish(self) -> None:
        """Look through the methods that may be called of what was found, and note which attributes may be read."""
        for tensor in list(self.tensors.values()):
            for name, value in _added(tensor):
                self.visit(value, 1, name)
        self._kinds[Tensor] = None
        count = -1
        while count != len(self._functions):
            count = len(self._functions)
            codes = [getattr(f, "__code__", None) for f in self._functions.values()]
            codes = [code for code in codes if isinstance(code, types.CodeType)]
            self.asked = {"forward"}.union(*map(_attributes, codes))
            for kind in list(self._kinds):
                self._add_members(kind, (*self.asked, *_special(kind, kind in self._called)), 1)
        if self._any or not _ANY.isdisjoint(self.asked or ()):
            self.asked = None
        held = [(t, pair) for t in self.tensors.values() for pair in _added(t)]
        held += [(o, pair) for o in self.optimizers.values() for pair in self._own_of(o)]
        for owner, (name, value) in held:
            if self.asked is None or name in self.asked:
                self.globals.append((owner, name, value))

    def classes(self) -> list:
        """The user's classes that attributes may be looked up in."""
        homes = [home for kind in self._kinds for home in getattr(kind, "__mro__", ())]
        return [home for home in dict.fromkeys(homes) if not _foreign(home)]

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
        if isinstance(value, (*PLAIN, *OPAQUE)):
            if isinstance(value, OPAQUE[:2]) and not _foreign(value):
                self._kinds[value] = None
                if not _foreign(type(value)):  # attributes of its own class are found as well
                    self._kinds[type(value)] = None
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
            for key, item in pairs(value):
                self.visit(key, depth + 1)
                self.visit(item, depth + 1, str(key))
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            if isinstance(value, (list, set, collections.deque)):
                self._watch(value)
            for item in list(value):
                self.visit(item, depth + 1)
        elif isinstance(value, functools.partial):
            own = getattr(value.func, "__module__", None) in _COMPILED  # they refer to what they are of, which lives on
            for part in (value.func, *value.args, value.keywords):
                self.visit(inside(part) if own and isinstance(part, weakref.ref) else part, depth + 1)
        elif isinstance(value, ODD) or moves_on(value):
            if not self._inside:
                self.watched[id(value)] = value
            if isinstance(value, ARRAYS):
                self.arrays.append(value)
            elif isinstance(value, ODD):
                self.visit(inside(value), depth + 1)
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
        elif isinstance(value, (operator.attrgetter, operator.methodcaller)):
            self._any = True
        elif not is_operator(type(value)):  # which keeps its programs, and nothing of the user's
            self._look_at_object(value, depth)

    def _look_at_object(self, value, depth: int) -> None:
        kind = type(value)
        within = ours(kind) and kind.__module__ not in BAGS
        if hasattr(kind, "cache_clear") and hasattr(kind, "cache_info"):
            self.caches.append(value)
        if not within:
            self._kinds[kind] = None
            self.objects.append((value, kind))
            for name in slots(kind):
                item = getattr(value, name, MISSING)
                if item is not MISSING:
                    self.globals.append((value, name, item))
                    self.visit(item, depth + 1, name, name)
        if isinstance(getattr(value, "__dict__", None), dict):  # list[int] shows that of the class
            if within and hasattr(kind, "key_storage"):
                self.add_storage(value.key_storage())
            if within and hasattr(kind, "_make_state"):
                value._make_state()
            self._inside += within
            self._look_at_attributes(vars(value), depth + 1, asks_itself(kind))
            self._inside -= within

    def _look_at_attributes(self, own: dict, depth: int, whole: bool = False) -> None:
        """Look through the attributes of an object."""
        self._seen[id(own)] = own
        if not whole:
            self._own.add(id(own))
        self._edges.setdefault(self._parent, []).append((None, id(own)))
        if depth < _DEEP:
            self._watch(own)
            if self._inside:  # of rushlight's objects, such as schedules, what functions name is watched
                self.watched[id(own)] = own
                self._named.add(id(own))
            self._parent = id(own)
            for key, item in list(own.items()):
                self.visit(item, depth + 1, key, None if whole else key)


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
def _imported(code) -> tuple:
    """The modules that a function's code imports while it runs."""
    names = [i.argval for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"]
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names += _imported(const)
    return tuple(dict.fromkeys(names))


def _texts(code) -> list:
    """The texts in a function's code, functions inside it included."""
    found = [const for const in code.co_consts if isinstance(const, str)]
    return found + [t for const in code.co_consts if isinstance(const, types.CodeType) for t in _texts(const)]


def _special(kind, made: bool = False) -> list:
    """The methods of a user's class that are called without being named.

    Args:
        kind: the class, or a module of Python, which has none.
        made: functions may make objects of the class.
    """
    homes = [home for home in getattr(kind, "__mro__", ()) if not _foreign(home)]
    skipped = _NOT_CALLED - _MAKE if made else _NOT_CALLED
    return [n for home in homes for n in vars(home) if n[:2] == "__" and n not in skipped]


def _may_change(home, name: str) -> bool:
    """Whether an attribute of a class or module is a user's: all of theirs are, and functions put on others."""
    value = vars(home)[name]
    return not _foreign(home) or (inspect.isfunction(value) and not ours(value))


def _foreign(home) -> bool:
    """Whether a class or module is no user's: its attributes do not change."""
    if isinstance(home, types.ModuleType):
        place = getattr(home, "__file__", None) or ""
        return ours(SimpleNamespace(__module__=home.__name__)) or "site-packages" in place
    return ours(home)


def items_of(container, asked) -> list:
    """What to compare of a container: pairs of name and value; what is long goes by its length."""
    if isinstance(container, dict):
        return [(name, value) for name, value in pairs(container) if asked is None or name in asked]
    if len(container) >= LONG:
        return []
    return list(zip(container, container)) if isinstance(container, set) else list(enumerate(container))


def named(names, asked) -> set:
    """The names among those that matter."""
    return {n for n in names if n in asked} if isinstance(names, dict) else {pair[0] for pair in names}
