"""Owns finding state: the modules, optimizers and tensors that a function can reach through what it holds.

May import the tensor class; modules and optimizers are known by their attributes, so that neither is imported.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from typing import Any

from .. import _device, dtypes
from .._hooks import Hook
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor

_HOME = __name__.rpartition(".compiler")[0]
_DEEP = 6
_PLAIN = (bool, int, float, complex, str, bytes, type(None), dtypes.dtype, dtypes.Size, _device.device)
_OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType)
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
            forward = type(part).forward
            if not ours(forward):
                self.add_function(forward, 1)

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

    def add_function(self, function, depth: int) -> None:
        code = getattr(function, "__code__", None)
        if code is None:
            return
        for cell, name in zip(function.__closure__ or (), code.co_freevars):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self.globals.append((cell, name, value))
            self.visit(value, depth, name)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.visit(value, depth)
        for name in _names(code):
            value = function.__globals__.get(name, MISSING)
            if value is not MISSING and not isinstance(value, _OPAQUE):
                self.globals.append((function.__globals__, name, value))
                self.visit(value, depth, name)

    def _watch(self, container) -> None:
        self.containers[id(container)] = container
        if not self._inside:
            self.watched[id(container)] = container

    def visit(self, value, depth: int = 0, name: str = "") -> None:
        """Look for state in a value and in what it holds."""
        if isinstance(value, (*_PLAIN, *_OPAQUE)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
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
        elif isinstance(value, (list, tuple, set, frozenset)):
            if isinstance(value, (list, set)):
                self._watch(value)
            for item in list(value):
                self.visit(item, depth + 1)
        elif isinstance(value, functools.partial):
            self.visit([value.func, value.args, value.keywords], depth + 1)
        elif inspect.ismethod(value):
            self.visit(value.__self__, depth + 1)
            self.visit(value.__func__, depth + 1)
        elif inspect.isfunction(value):
            if not ours(value):
                self.add_function(value, depth + 1)
            elif hasattr(value, "__wrapped__"):
                self.visit(value.__wrapped__, depth + 1)
        elif type(value) is Hook:
            self.visit(value.function, depth + 1)
        elif hasattr(value, "__dict__"):
            inside = ours(type(value))
            if inside and hasattr(type(value), "_make_state"):
                value._make_state()
            self._inside += inside
            self.visit(vars(value), depth + 1)
            self._inside -= inside


@functools.lru_cache(maxsize=512)
def _names(code) -> tuple:
    """The global names that a function's code may look up, functions inside it included."""
    names = dict.fromkeys(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names.update(dict.fromkeys(_names(const)))
    return tuple(names)


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
