"""Owns ``Module``: its slot table for parameters, buffers and submodules, and the one check of their names.

May import Parameter, the hook tables and the parts of ``Module`` in the files beside this one.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

from ..._hooks import EVERYWHERE, Hook, HookTable, changes, everywhere
from ..._tensor.tensor import Tensor
from ..parameter import Buffer, Parameter
from ._call import (
    Calls,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from ._moving import Moves
from ._repr import module_repr
from ._state_dict import _EXTRA_STATE_KEY_SUFFIX as _EXTRA_STATE_KEY_SUFFIX
from ._state_dict import StateDict, _IncompatibleKeys, _WrappedHook
from ._tools import Tools, is_tool
from ._traversal import Traversal

_SLOTS = ("_parameters", "_buffers", "_modules")
_NOTHING = object()


def typename(value: Any) -> str:
    """How torch names the type of a value in its messages."""
    if isinstance(value, Tensor):
        return str(value.type())
    kind = value if isinstance(value, type) else type(value)
    home = kind.__module__
    if home.partition(".")[0] == "rushlight":
        home = "torch" + home.removeprefix("rushlight")
    return kind.__qualname__ if home in ("", "builtins") else f"{home}.{kind.__qualname__}"


def _check_name(module: Module, name: Any, kind: str, table: dict) -> None:
    """Refuse a name that cannot stand for a parameter, buffer or module.

    Raises:
        TypeError: not a string.
        KeyError: empty, with a dot, or taken by another attribute.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')
    if name not in table and hasattr(module, name) and not is_tool(type(module), name):
        raise KeyError(f"attribute '{name}' already exists")


def _announce(kind: str, module: Module, name: str, value: Any) -> Any:
    """Let the global registration hooks see a value; what they return replaces it."""
    for _, hook in everywhere(kind):
        out = hook.function(module, name, value)
        if out is not None:
            value = out
    return value


class Module(Traversal, Calls, StateDict, Moves, Tools):
    """The base of every layer and model: holds parameters, buffers and other modules by attribute name.

    Subclasses call ``super().__init__()``, assign what they hold to attributes, and define ``forward``.

    Example:
        >>> import rushlight as torch
        >>> from rushlight import nn
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = nn.Parameter(torch.ones(1))
        ...     def forward(self, x):
        ...         return x * self.scale
        >>> [name for name, _ in Net().named_parameters()]
        ['scale']
    """

    call_super_init: bool = False
    training: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.call_super_init is False:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were given"
                )
        state = self.__dict__
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_non_persistent_buffers_set"] = set()
        state["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # -- registration -------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name.

        Args:
            name: an attribute name.
            param: the parameter; None reserves the name.

        Raises:
            AttributeError: before ``Module.__init__()``.
            KeyError: the name is taken, empty or has a dot.
            TypeError: neither a Parameter nor None.
            ValueError: the parameter has a history.
        """
        table = self.__dict__.get("_parameters")
        if table is None:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        _check_name(self, name, "parameter", table)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' (torch.nn.Parameter or None "
                    "required)"
                )
            if param._node is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                    f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                    "forward() method."
                )
            if EVERYWHERE:
                param = _announce("parameter", self, name, param)
        changes.count += 1
        table[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as a running mean.

        Args:
            name: an attribute name.
            tensor: the tensor; None reserves the name.
            persistent: whether it is part of ``state_dict``.

        Raises:
            AttributeError: before ``Module.__init__()``.
            KeyError: the name is taken, empty or has a dot.
            TypeError: neither a tensor nor None.
        """
        table = self.__dict__.get("_buffers")
        if table is None:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _check_name(self, name, "buffer", table)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        if EVERYWHERE:
            tensor = _announce("buffer", self, name, tensor)
        changes.count += 1
        table[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name.

        Args:
            name: an attribute name.
            module: the module; None reserves the name.

        Raises:
            TypeError: neither a Module nor None.
            KeyError: the name is taken, empty or has a dot.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        table = self.__dict__.get("_modules")
        if table is None:
            raise AttributeError("cannot assign module before Module.__init__() call")
        _check_name(self, name, "module", table)
        if EVERYWHERE:
            module = _announce("module", self, name, module)
        changes.count += 1
        table[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of ``add_module``."""
        self.add_module(name, module)

    # -- attributes ---------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        for slot in _SLOTS:
            table = state.get(slot)
            if table is not None and name in table:
                return table[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def _vacate(self, name: str, keep: str) -> None:
        """Free a name in all places but one."""
        state = self.__dict__
        state.pop(name, None)
        for slot in _SLOTS:
            if slot != keep:
                state[slot].pop(name, None)
        state["_non_persistent_buffers_set"].discard(name)

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        parameters = state.get("_parameters")
        is_tensor = isinstance(value, Tensor)
        if is_tensor or state.get(name, _NOTHING) is not value or isinstance(value, Module):
            changes.count += 1  # what stays as it was makes no program look closer
        if is_tensor and isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._vacate(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if parameters is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            if name in parameters:
                self._refuse_parameter(name, value)
            self._vacate(name, "_modules")
            state["_modules"][name] = _announce("module", self, name, value) if EVERYWHERE else value
        elif parameters is None:
            if is_tensor and isinstance(value, Buffer):
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            super().__setattr__(name, value)
        elif name in parameters:
            if value is not None:
                self._refuse_parameter(name, value)
            self.register_parameter(name, None)
        elif name in state["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            state["_modules"][name] = _announce("module", self, name, None) if EVERYWHERE else None
        elif name in state["_buffers"] or (is_tensor and isinstance(value, Buffer)):
            self._set_buffer(name, value)
        else:
            super().__setattr__(name, value)

    def _refuse_parameter(self, name: str, value: Any) -> None:
        raise TypeError(
            f"cannot assign '{typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
        )

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{typename(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None expected)"
            )
        persistent = value.persistent if isinstance(value, Buffer) else name not in self._non_persistent_buffers_set
        register = self.register_buffer
        plain = getattr(register, "__func__", None) is Module.register_buffer
        if plain or "persistent" in inspect.signature(register).parameters:
            register(name, value, persistent)
        elif persistent:
            register(name, value)
        else:
            raise RuntimeError(
                "Registering a non-persistent buffer on a Module subclass that implements register_buffer() without "
                "the persistent argument is not allowed."
            )

    def __delattr__(self, name: str) -> None:
        changes.count += 1
        for slot in _SLOTS:
            table = self.__dict__.get(slot)
            if table is not None and name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        state = self.__dict__
        names = [*dir(type(self)), *state]
        for slot in _SLOTS:
            names += state[slot]
        return sorted(name for name in names if not name[0].isdigit())

    # -- copies and pickles -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict:
        """The attributes, with hook tables in torch's form, so that a saved module means the same there."""
        state = self.__dict__.copy()
        state.pop("_hooked", None)
        state.pop("_compiled_call_impl", None)
        for name, flags in _TABLES.items():
            table = state.get(name)
            if table:
                state.update((where, getattr(self, where)) for where in flags.values())
                state[name] = OrderedDict(table)
            elif table is not None or name in _EXPECTED:
                state[name] = OrderedDict()
        return state

    def __setstate__(self, state: dict) -> None:
        own = self.__dict__
        own.update(state)
        for name, flags in _TABLES.items():
            table = own.pop(name, None)
            sets = {flag: own.pop(where, None) or {} for flag, where in flags.items()}
            if table:
                records: Any = {k: {flag: k in ids for flag, ids in sets.items()} for k in table}
                own[name] = HookTable((k, Hook(h, **records[k]) if flags else h) for k, h in table.items())
        own.setdefault("_non_persistent_buffers_set", set())

    # -- printing -----------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What to print in the parentheses; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        children = [(name, repr(module)) for name, module in self._modules.items()]
        return module_repr(self._get_name(), self.extra_repr(), children)


# The hook tables, and for each flag of their records the name of the table in which torch keeps it.
_TABLES: dict[str, dict[str, str]] = {
    "_forward_pre_hooks": {"with_kwargs": "_forward_pre_hooks_with_kwargs"},
    "_forward_hooks": {"with_kwargs": "_forward_hooks_with_kwargs", "always_call": "_forward_hooks_always_called"},
    "_backward_pre_hooks": {},
    "_backward_hooks": {},
    "_state_dict_hooks": {},
    "_state_dict_pre_hooks": {},
    "_load_state_dict_pre_hooks": {},
    "_load_state_dict_post_hooks": {},
}
# torch makes the other tables itself where a pickle has none.
_EXPECTED = frozenset({"_forward_hooks", "_backward_hooks"})

# torch's pickles and printouts know these two from here.
_IncompatibleKeys.__module__ = _WrappedHook.__module__ = __name__

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]
