"""Owns the table of functions that ``__torch_function__`` can take over, and switching their calls to asking first.

May import the tensor cell, the operators and (by name, on first use) every public namespace.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from ._overridable import BINARY, BUILTIN, CALLED, FACTORIES, INIT, MODES_ONLY, NEVER, NEVER_METHODS, PYTHON, SPACES
from ._tensor.overriding import PLAIN, DisableTorchFunctionSubclass, exact, hand_over, local, overloaded
from ._tensor.tensor import Tensor
from .ops._op import Op


class Entry:
    """One overridable function: how it is called when nobody takes over, and what is shown to who does.

    Attributes:
        function: the object whose calls are looked at.
        public: the object that handlers get.
        name: of ``public``, with its namespace.
        run: computes without asking.
        python: torch's own is written in Python: handlers get its optional arguments by name, with their defaults.
    """

    __slots__ = ("binary", "function", "modes_only", "name", "public", "python", "run", "spread", "swapped")

    def __init__(self, function: Any, public: Any, name: str, python: bool = False):
        self.function, self.public, self.name, self.python = function, public, name, python
        self.modes_only = name in MODES_ONLY
        self.binary = False
        self.spread = _spread(function, name.startswith("torch.nn.init.")) if python else None
        self.swapped: tuple | None = None
        if isinstance(function, Op):
            self.run: Callable = functools.partial(_op_call, function)
        else:
            copy = FunctionType(
                function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
            )
            copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, function.__annotations__
            copy.__dict__.update(function.__dict__)
            copy.__module__, copy.__qualname__, copy.__doc__ = (
                function.__module__, function.__qualname__, function.__doc__,
            )  # fmt: skip
            self.run = copy
            self.swapped = _trampoline(self, function.__code__), function.__code__

    def call(self, args: tuple, kwargs: dict) -> Any:
        """What every call of the function does while installed."""
        if (
            not local.modes and PLAIN.issuperset(map(type, args))
            and (not kwargs or PLAIN.issuperset(map(type, kwargs.values())))
        ):  # fmt: skip
            return self.run(*args, **kwargs)
        return self.consider(args, kwargs)

    def consider(self, args: tuple, kwargs: dict) -> Any:
        """``call`` where somebody may take over."""
        if not local.enabled:
            return self.run(*args, **kwargs)
        found = []
        if self.modes_only:
            if not local.modes:
                with DisableTorchFunctionSubclass():
                    return self.run(*args, **kwargs)
        elif local.subclasses:
            found = overloaded((*args, *kwargs.values()) if kwargs else args)
        if not found and not local.modes:
            return self.run(*args, **kwargs)
        if self.spread is not None:
            args, kwargs = self.spread(args, kwargs)
        if self.python and local.subclasses:
            # torch's Python functions count exact tensors as well, once somebody takes over.
            found = overloaded((*args, *kwargs.values()), Tensor)
        if self.binary:
            try:
                return hand_over(self.public, self.name, found, args, kwargs)
            except TypeError:
                return NotImplemented
        return hand_over(self.public, self.name, found, args, kwargs, self.python)


def _spread(function: Any, named: bool) -> Callable | None:
    """Arranges arguments as torch's Python functions hand them on: what is optional by name, with defaults.

    Args:
        function: whose arguments they are.
        named: whether the others go by name too.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    names = [p.name for p in parameters]
    optional = {p.name: p.default for p in parameters if p.default is not p.empty}

    def spread(args: tuple, kwargs: dict) -> tuple:
        given = {**dict(zip(names, args)), **kwargs}
        if len(args) > len(names) or len(given) != len(args) + len(kwargs):
            return args, kwargs
        needed = []
        for name in names:
            if name not in optional:
                if name not in given:
                    return args, kwargs
                if not named:
                    needed.append(given.pop(name))
        return tuple(needed), {**optional, **given}

    return spread


def _counted(args: tuple, kwargs: dict) -> tuple:
    """The arguments of what the modules of batch normalisation call, as those of ``F.batch_norm``; counts the batch."""
    input, weight, bias, mean, var, training, momentum, eps, count = (*args, None)[:9]
    if training and count is not None:
        count.add_(1)
        momentum = 1.0 / float(count) if momentum is None else momentum
    options = {"weight": weight, "bias": bias, "training": training, "momentum": momentum, "eps": eps}
    return (input, mean, var), options


@functools.cache
def _template(count: int) -> CodeType:
    """Code with so many variables from outside, which it receives and does not use: whoever reads frames finds them."""
    names = ", ".join(f"v{i}" for i in range(count))
    space: dict[str, Any] = {}
    exec(
        f"def outer({names}):\n"
        "    def call(*args, **kwargs):\n"
        "        return 'entry'.call(args, kwargs)\n"
        f"        [{names}]\n"
        "    return call",
        space,
    )
    return space["outer"](*range(count)).__code__


def _trampoline(entry: Entry, code: CodeType) -> CodeType:
    """Code that calls the entry, for a function with this code: same name and place, same variables from outside."""
    template = _template(len(code.co_freevars))
    return template.replace(
        co_consts=tuple(entry if constant == "entry" else constant for constant in template.co_consts),
        co_name=code.co_name, co_qualname=code.co_qualname, co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno, co_freevars=code.co_freevars,
    )  # fmt: skip


_op_call = Op.__call__


def _asking(self, /, *args, **kwargs):
    """``Op.__call__`` while installed."""
    if (
        not local.modes and PLAIN.issuperset(map(type, args))
        and (not kwargs or PLAIN.issuperset(map(type, kwargs.values())))
    ):  # fmt: skip
        return _op_call(self, *args, **kwargs)
    entry = table().entries.get(self)
    return _op_call(self, *args, **kwargs) if entry is None else entry.consider(args, kwargs)


class Table:
    """Every overridable function, with what is known of it.

    Attributes:
        entries: by the objects whose calls are looked at.
        names: the full name of each public object.
        spaces: for each namespace, the public objects in it.
        methods: those that are methods or accessors of properties of Tensor.
        known: the full name of others in the namespaces.
        ignored: functions that are in the namespaces and cannot be taken over.
    """

    def __init__(self) -> None:
        self.entries: dict[Any, Entry] = {}
        self.names: dict[Any, str] = {}
        self.spaces: dict[Any, list] = {}
        self.known: dict[Any, str] = {}
        self.methods: set = set()
        self.ignored: set = set()
        for path in SPACES:
            self._add_space(path)
        self._add_tensor()
        # Reached only from within: the functions that the public ones give second names to.
        for entry in list(self.entries.values()):
            inner = getattr(entry.function, "__wrapped__", None)
            if "synonyms" not in vars(entry.function) or isinstance(entry.function, Op):
                continue
            if inner not in self.entries:
                self.entries[inner] = Entry(inner, entry.public, entry.name, entry.python)
        grad = importlib.import_module("rushlight.autograd").grad
        self.entries[grad] = Entry(grad, grad, "torch.autograd.grad", python=True)
        norm = importlib.import_module("rushlight.ops.nn_norm").batch_norm_with
        public = importlib.import_module("rushlight.nn.functional").batch_norm
        self.entries[norm] = Entry(norm, public, self.names[public], python=True)
        self.entries[norm].spread = _counted
        self.plain = [entry for entry in self.entries.values() if entry.swapped is not None]
        self.codes = {id(entry.swapped[1]): entry for entry in self.plain if entry.swapped}

    def _add_space(self, path: str) -> None:
        module = importlib.import_module("rushlight" + path[5:])
        listed = self.spaces.setdefault(module, [])
        for name, value in sorted(vars(module).items()):
            full = f"{path}.{name}"
            if name[0] == "_" or not isinstance(value, (FunctionType, Op)):
                continue
            self.known.setdefault(value, full)
            if full in NEVER or (path == "torch.nn.init" and name not in INIT):
                self.ignored.add(value)
                continue
            (self.ignored.add if full in MODES_ONLY or name in FACTORIES else listed.append)(value)
            # One function in several namespaces has the name that torch gives it, or that its users do.
            if value not in self.entries or path in ("torch.functional", "torch.nn.functional"):
                python = (path == "torch.nn.functional" and name not in BUILTIN) or full in PYTHON
                self.entries[value] = Entry(value, value, full, python)
                self.names[value] = full

    def _add_tensor(self) -> None:
        found: dict[str, Any] = {}
        for cls in reversed(Tensor.__mro__[:-1]):
            found.update(vars(cls))
        listed = self.spaces.setdefault(Tensor, [])
        for name, value in sorted(found.items()):
            special = name[:2] == "__" == name[-2:]
            if name[0] == "_" and not special and name != "_version":
                continue
            if name in NEVER_METHODS:
                self.ignored.add(value)
                continue
            full = f"torch.Tensor.{name}"
            if isinstance(value, property):
                for function, accessor in ((value.fget, "__get__"), (value.fset, "__set__")):
                    if type(function) is FunctionType and function not in self.entries:
                        public = getattr(value, accessor)
                        self.entries[function] = Entry(function, public, f"{full}.{accessor}")
                        self.names[public] = f"{full}.{accessor}"
                        self.methods.add(public)
                        if accessor == "__get__":
                            listed.append(public)
            elif type(value) is FunctionType:
                called = CALLED.get(name)
                public = value if called is None else functools.reduce(getattr, called.split(".")[1:], _ROOT)
                if value not in self.entries:
                    entry = Entry(value, public, f"torch.Tensor.{name}" if called is None else called, full in PYTHON)
                    entry.binary = name in BINARY
                    self.entries[value] = entry
                self.names.setdefault(value, full)
                listed.append(value)
                if self.names[value] == full:
                    self.methods.add(value)


class _Root:
    Tensor = Tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("rushlight"), name)


_ROOT = _Root()


@functools.cache
def table() -> Table:
    """The table, built on first use."""
    return Table()


def public_functions() -> dict[Any, str]:
    """The overridable functions, each with its full name."""
    return table().names


_lock = threading.RLock()
_count = 0


def install() -> None:
    """Let every call of an overridable function, also through names held elsewhere, ask for handlers first."""
    global _count
    with _lock:
        _count += 1
        if _count > 1:
            return
        for entry in table().plain:
            function = entry.function
            if entry.swapped is not None:
                # What tells a signature follows ``__wrapped__``; the copy has the function's own code and its wrapped.
                function.__wrapped__ = entry.run
                function.__code__ = entry.swapped[0]
        Op.__call__ = _asking  # type: ignore[method-assign]


def uninstall() -> None:
    """Undo one ``install``; after the last, functions are as they were."""
    global _count
    with _lock:
        _count -= 1
        if _count:
            return
        for entry in table().plain:
            function = entry.function
            if entry.swapped is not None:
                function.__code__ = entry.swapped[1]
                del function.__wrapped__
                inner = getattr(entry.run, "__wrapped__", None)
                if inner is not None:
                    function.__wrapped__ = inner
        Op.__call__ = _op_call  # type: ignore[method-assign]


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """``install`` for the length of a block."""
    install()
    try:
        yield
    finally:
        uninstall()


def call(function: Any, args: tuple, kwargs: dict) -> Any:
    """Call an overridable function, asking for handlers, whether installed or not."""
    entry = table().entries.get(function)
    return function(*args, **kwargs) if entry is None else entry.consider(args, kwargs)


def within_public_function(frame: Any) -> Entry | None:
    """The outermost overridable function that is being computed further out.

    Args:
        frame: where to start: the frame of the function itself.
    """
    codes, frame, found = table().codes, frame.f_back, None
    while frame is not None:
        code = frame.f_code
        if code is _op_call.__code__:
            found = table().entries.get(frame.f_locals.get("self")) or found
        else:
            found = codes.get(id(code)) or found
        frame = frame.f_back
    return found


def rescues(entry: Entry) -> bool:
    """Whether a function itself answers calls that failed because nobody knew of types that take over."""
    return not {"rescued", "_refused"}.isdisjoint(entry.swapped[1].co_names) if entry.swapped else True


exact.nowrap = frozenset([vars(Tensor)["grad"].__get__])
