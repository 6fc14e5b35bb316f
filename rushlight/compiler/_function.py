"""Owns ``compile``: a function of tensors as one XLA program for each way it is called.

May import this folder, the modes and jax.
"""

from __future__ import annotations

import copy
import functools
import threading
import types
import warnings
import weakref
from typing import Any

import jax

from .. import _device, dtypes
from .._graph.modes import state
from .._tensor.overriding import handler, local
from . import _explain
from ._contents import is_module, is_optimizer, ours
from ._entry import Entry
from ._layers import NotAlike, Watch, find_stacks
from ._lines import level, user_line
from ._numbers import Argument, Row, is_number, varying
from ._outside import MoreNumbers, NotYet, Unsupported, marks_things
from ._recent import Recent, recent
from ._records import Records
from ._roots import Found
from ._strays import MoreState
from ._trace import Trace
from ._tree import Leaves, flatten, noticed

_NEEDS_VALUE = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
_MANY = 8


class _Scope(threading.local):
    disabled = 0


_scope = _Scope()
_lock = threading.RLock()  # a trace puts stand-ins into tensors that other threads may run programs on


class Compiled:
    """A function that runs as one XLA program; made by ``compile``.

    Args:
        function: what to compile.
        fullgraph: raise where Python needs a value that a program does not have, instead of running eagerly.
        scan_layers: roll stacks of identical layers into one loop.
        name: what to call it in messages.
    """

    def __init__(
        self, function, *, fullgraph: bool = False, scan_layers: bool = False, name: str | None = None, owner=None
    ):
        functools.update_wrapper(self, function, updated=())
        self.function, self.fullgraph, self.scan_layers, self.owner = function, fullgraph, scan_layers, owner
        self.name = name or getattr(function, "__qualname__", type(function).__name__)
        self.entries: dict = {}
        self._recent: Recent | None = None
        self.history: list = []
        self._constant: set = set()
        self._varying: dict = {}
        self._warned: set = set()
        self._resized = self._waits = 0
        self._settled = False
        self._bound: Any = None
        self._records = Records()
        self._waited: weakref.WeakSet = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<compiled {self.name}>"

    @property
    def options(self) -> tuple:
        """What a copy is made with."""
        return self.fullgraph, self.scan_layers, self.name

    def __deepcopy__(self, memo):
        make, parts = self.__reduce__()
        return make(*[copy.deepcopy(part, memo) for part in parts])

    def __reduce__(self):
        function, owner = self.function, self.owner() if self.owner is not None else None
        if owner is None:
            return _again, (function, self.options)
        return _again_for, (owner, functools.partial(function.func, *function.args[:-1]), self.options)

    def __get__(self, instance, owner=None):
        """As a method: one compiled function for each instance, as long as it lives."""
        if instance is None:
            return self
        if self._bound is None:
            self._bound = weakref.WeakKeyDictionary()
        try:
            made = self._bound.get(instance)
            if made is None:
                made = _Method(self, weakref.ref(instance))
                self._bound[instance] = made
        except TypeError:
            return types.MethodType(self, instance)
        return types.MethodType(made, instance)

    def __call__(self, *args, **kwargs):
        if state.trace is not None or _scope.disabled or state.anomaly or state.dual is not None or local.modes:
            return self.function(*args, **kwargs)
        with _lock:
            last = self._recent
            if last is not None and not kwargs:
                leaves = last.leaves(args)
                if leaves is not None and last.entry.fails(leaves) is None:
                    return last.entry.run(leaves)
            entry, leaves = self._find(args, kwargs)
            if entry is not None:
                return entry.run(leaves)
        return self.function(*args, **kwargs)

    def _find(self, args, kwargs) -> tuple:
        """The program for a call, or None where it runs eagerly; and the leaves of the arguments."""
        leaves = Leaves(self._records.kinds)
        key = flatten(args, leaves) if not kwargs else (flatten(args, leaves), flatten(kwargs, leaves))
        signature = [state.grad, state.inference, state.autocast, dtypes.default_dtype(), _device.default_device()]
        for t in leaves.tensors:
            array = t._array()
            signature += (array.shape, array.dtype, t._storage.device, t._edge() is not None, type(t))
        storages = [id(t._storage) for t in leaves.tensors]
        if len(set(storages)) < len(storages):
            signature.append(tuple(map(storages.index, storages)))  # which arguments share memory
        held = list(map(id, leaves.containers))
        if len(set(held)) < len(held):
            signature.append(tuple(map(held.index, held)))
        key = key, tuple(signature)
        entries = self.entries.get(key)
        failed = None
        if entries is None and self._records.grown(leaves.objects):
            return self._find(args, kwargs)
        for bits in leaves.arrays if entries is None else ():  # the key stays
            bits.keep()
        if entries is None and (kind := handler(leaves.tensors)) is not None:
            reason = f"an argument is of class {kind.__name__}, whose __torch_function__ is to run on every call"
            if self.fullgraph:
                raise NotImplementedError(
                    f"compile({self.name}, fullgraph=True): {reason}. Pass it .as_subclass(torch.Tensor)."
                )
            return self._give_up(key, reason), leaves
        if entries is not None:
            for place, entry in enumerate(entries):
                if entry is None:
                    return None, leaves
                reason = entry.fails(leaves)
                if reason is None:
                    if place:
                        entries.insert(0, entries.pop(place))
                    self._recent = recent(entry, args, kwargs, leaves)
                    return entry, leaves
                failed = failed or reason
        return self._compile(key, leaves, args, kwargs, failed), leaves

    # -- compiling ----------------------------------------------------------------------------------------------

    def _compile(self, key, leaves, args, kwargs, failed) -> Entry | None:
        reason = _explain.why(self, key, leaves, failed)
        if failed is not None and failed[0] == "state":  # what was replaced does not come back, and need not be held
            self.entries[key] = [e for e in self.entries[key] if e is None or e.fails(leaves) != failed]
        number = varying(failed) if failed is not None else None
        made = self.entries.get(key, ())
        looked_at = number is not None or (failed is not None and failed[0] == "outcome")
        if looked_at and len(made) > 2 * _MANY and all(e.runs == 1 for e in made[: 2 * _MANY]):
            return self._give_up(
                key,
                f"{reason}, it has another value on every call, and Python looks at it (an if, int(), math). Do that "
                "outside and give what came of it as an argument, or as a tensor",
            )
        if number is not None and (key if number.key[0] == "argument" else None, number.key) not in self._constant:
            self._varying.setdefault((key if number.key[0] == "argument" else None, number.key), number)
        while True:
            numbers = [n for (where, _), n in self._varying.items() if where is None or where == key]
            numbers = [n for n in numbers if is_number(n.get(leaves))]
            try:
                entry = self._trace(leaves, args, kwargs, numbers)
            except MoreNumbers as more:
                if any((None, place.key) in self._constant for place in more.places):
                    return self._give_up(key, "a number outside is written, and Python looks at it")
                self._varying.update(((None, place.key), place) for place in more.places)
                continue
            except NotYet:
                self._waits += 1
                if self._waits > _MANY and not self.entries:
                    return self._give_up(key, "something new is put into a cache, or a hook on a module, by every call")
                return None
            except Unsupported as error:
                if self.fullgraph:
                    raise NotImplementedError(f"compile({self.name}, fullgraph=True): {error}") from None
                return self._give_up(key, str(error))
            except Exception as error:
                if numbers:
                    # A number that Python looks at cannot be an input: from now on each value has its own program.
                    for where, name in [k for k in self._varying if k[0] is None or k[0] == key]:
                        del self._varying[where, name]
                        self._constant.add((where, name))
                    continue
                if not isinstance(error, _NEEDS_VALUE):
                    for printed in getattr(error, "_printed", ()):  # before what went wrong
                        printed({id(a): a.now for a in printed.numbers()})
                    raise
                where = user_line(error)
                if self.fullgraph:
                    raise NotImplementedError(
                        f"compile({self.name}, fullgraph=True): {where} needs a value that is known only when the "
                        "program runs. Use torch.where for a choice, and return what you want to print or convert."
                    ) from error
                return self._give_up(
                    key,
                    f"{where} needs a value that is known only when the program runs (an if on a tensor, float(), "
                    "text, a boolean mask). Use torch.where for a choice, and return what you want to print or "
                    "convert; or mark the function with compile.disable",
                )
            break
        self.entries.setdefault(key, []).insert(0, entry)
        self.history.append(reason)
        if len(self.history) == _MANY + 1:
            warnings.warn(
                f"{self.name} was compiled {len(self.history)} times; the last time because {reason}. Each compilation "
                "takes time: rushlight.compile.explain(fn) lists all reasons.",
                stacklevel=level(),
            )
        return entry

    def _trace(self, leaves, args, kwargs, numbers) -> Entry:
        found = Found()
        owner = self.owner() if self.owner is not None else None
        found.visit([self.function, owner])
        for t in leaves.tensors:
            found._seen.setdefault(id(t), t)  # an argument is state only where the function refers to it itself
            if t.grad is not None:
                found.add_tensor(t.grad)
        known, met = set(found.watched), set(found._seen)
        given = [args, kwargs]
        found.visit(given)
        for container in (given, kwargs, *noticed(leaves)):  # the key says what they hold
            if id(container) not in known:
                found.watched.pop(id(container), None)
        found.forget([c for c in leaves.containers if type(c) in leaves.records], met)
        if any(lazy() for m in found.modules.values() if (lazy := getattr(m, "has_uninitialized_params", None))):
            raise NotYet
        for optimizer in found.optimizers.values():
            # An optimizer whose rule is the user's makes its state when it is stepped for the first time.
            theirs = not hasattr(optimizer, "_prepare") and not ours(type(optimizer))
            if theirs and not optimizer.state and optimizer not in self._waited:
                self._waited.add(optimizer)
                raise NotYet
        from ..random.generator import default_generator

        found.add_storage(default_generator.key_storage())
        found._seen[id(default_generator)] = default_generator
        created = [undo for o in list(found.optimizers.values()) for undo in _prepare(o, found)]
        try:
            for _ in range(16):
                try:
                    result = self._run_trace(found, leaves, numbers, args, kwargs)
                    break
                except MoreState:
                    for optimizer in list(found.optimizers.values()):
                        created += _prepare(optimizer, found)
            else:
                raise Unsupported("new state turns up on every run", "Create tensors and optimizers outside.")
            if _resizes(result):  # a later call finds other shapes: let Python do this one
                self._resized += 1
                if self._resized > _MANY:
                    raise Unsupported("the size of a tensor outside changes on every call", "Create it at full size.")
                raise NotYet
            if not self._settled and marks_things(result, found):  # as a rule once: one program, not two
                self._settled = True
                raise NotYet
            inputs = {n.place for n in numbers if isinstance(n, Argument)}
            static = [(i, v) for i, v in enumerate(leaves.numbers) if i not in inputs]
            entry = Entry(result, leaves, static)
        except BaseException:
            for _, undo in created:
                undo()
            raise
        touched = entry.touched
        for storages, undo in created:
            if not any(id(s) in touched for s in storages):
                undo()
        return entry

    def _run_trace(self, found, leaves, numbers, args, kwargs):
        found.finish()
        places = find_stacks(found.modules.values()) if self.scan_layers else {}
        watch = Watch(places) if places else None
        result = Trace(found, leaves, numbers, watch).run(self.function, args, kwargs)
        roll = watch.proven if watch is not None else ()
        while roll:
            try:
                depth = max(len(stack.blocks) for stack, _ in places.values() if id(stack) in roll)
                inputs = [*numbers, *map(Row, range(depth))]
                return Trace(found, leaves, inputs, Watch(places, roll)).run(self.function, args, kwargs)
            except NotAlike as error:
                roll.discard(id(error.stack))
        return result

    def _give_up(self, key, reason: str) -> None:
        self.entries.setdefault(key, []).insert(0, None)
        if reason not in self._warned:
            self._warned.add(reason)
            warnings.warn(f"{self.name} runs eagerly, not compiled: {reason.rstrip('.')}.", stacklevel=level())


class _Method(Compiled):
    """A compiled function for one object, given that object first.

    Args:
        origin: the compiled function in the class.
        owner: gives the object.
    """

    def __init__(self, origin, owner):
        function = functools.partial(_call_method, origin.function, owner)
        super().__init__(
            function, fullgraph=origin.fullgraph, scan_layers=origin.scan_layers, name=origin.name, owner=owner
        )
        self.origin = origin
        functools.update_wrapper(self, origin.function, updated=())

    def __call__(self, instance, *args, **kwargs):
        if self.owner is None or self.owner() is not instance:  # a copy of a bound method
            return self.origin.__get__(instance)(*args, **kwargs)
        return super().__call__(*args, **kwargs)


def _resizes(result) -> bool:
    """Whether a tensor of the state has another shape after the call than before."""
    jaxpr, start = result.closed.jaxpr, result.outputs
    return any(
        kind == "state" and jaxpr.outvars[start + n].aval.shape != jaxpr.invars[i].aval.shape
        for n, (kind, i) in enumerate(result.writes)
    )


def _call_method(function, reference, *args, **kwargs):
    return function(reference(), *args, **kwargs)


def _again(function, options, owner=None) -> Compiled:
    """A copy of a compiled function: it compiles anew."""
    fullgraph, scan_layers, name = options
    return Compiled(function, fullgraph=fullgraph, scan_layers=scan_layers, name=name, owner=owner)


def _again_for(owner, function, options) -> Compiled:
    """The same for a method, whose object may have no other holder."""
    found = functools.partial(_given, owner)
    return _again(functools.partial(function.func, *function.args, found), options, found)


def _given(owner):
    return owner


def _prepare(optimizer, found) -> list:
    """Create the state of an optimizer before the trace, so that it is an input.

    Returns:
        list: ``(storages, undo)`` for each parameter whose state is new.
    """
    prepare = getattr(optimizer, "_prepare", None)
    if prepare is None:
        return []
    made = prepare()
    found._seen.pop(id(optimizer), None)
    found.optimizers.pop(id(optimizer), None)
    found.add_optimizer(optimizer)
    return made


class _disable:
    """Run without compilation: a decorator of functions, and a context manager."""

    def __call__(self, function=None, recursive: bool = True):
        if function is None:
            return _disable()
        if isinstance(function, Compiled):
            return function.function
        if isinstance(getattr(function, "__func__", None), Compiled):
            plain = getattr(function.__func__, "origin", function.__func__).function
            return types.MethodType(plain, function.__self__)

        @functools.wraps(function)
        def eager(*args, **kwargs):
            if state.trace is not None:
                raise Unsupported(
                    f"{getattr(function, '__qualname__', function)} is marked with compile.disable",
                    "Call it outside the compiled function.",
                )
            with _disable():
                return function(*args, **kwargs)

        return eager

    def __enter__(self):
        if state.trace is not None:
            raise Unsupported("a compile.disable() block is inside", "Move it outside the compiled function.")
        _scope.disabled += 1
        return self

    def __exit__(self, *exc) -> None:
        _scope.disabled -= 1


class _Compile:
    """``rushlight.compile``: see ``__call__``."""

    def __call__(
        self, model=None, *, fullgraph: bool = False, dynamic: bool | None = None, backend="xla",
        mode: str | None = None, options: dict | None = None, disable: bool = False, scan_layers: bool = False,
        name: str | None = None,
    ):  # fmt: skip
        """Turn a function of tensors, or a module, into one XLA program for each way it is called.

        State is found by itself: parameters, buffers, gradients, optimizers, random generators and tensors that the
        function refers to are inputs of the program, and what it changes is written back after each call.

        Args:
            model: a function, a method or a module; left out, gives a decorator.
            fullgraph: raise where Python needs a value, instead of running eagerly with a warning.
            dynamic: accepted for torch's sake; every shape has a program of its own.
            backend: accepted for torch's sake; the backend is XLA.
            mode: torch's presets; XLA has none, all mean the same.
            options: not supported.
            disable: return ``model`` as it is.
            scan_layers: roll stacks of identical blocks (in a ``Sequential`` or ``ModuleList``) into one loop, so that
                a deep model compiles as fast as a shallow one; only where each block feeds the next and nothing else.
            name: what to call it in messages.

        Raises:
            NotImplementedError: ``options`` are given.

        Example:
            >>> import rushlight as torch
            >>> @torch.compile
            ... def double(x):
            ...     return x * 2
            >>> double(torch.ones(2))
            tensor([2., 2.])
        """
        chosen = self.check(
            fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, scan_layers=scan_layers,
            name=name,
        )  # fmt: skip
        if model is None:
            return functools.partial(
                self, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, disable=disable,
                scan_layers=scan_layers, name=name,
            )  # fmt: skip
        if disable:
            return model
        if is_module(model):
            from ._module import compiled_twin

            return compiled_twin(model, **chosen)
        if is_optimizer(model) or not callable(model):
            raise TypeError(f"compile() takes a function or a module, received {type(model).__name__}")
        if isinstance(model, Compiled) or isinstance(getattr(model, "__func__", None), Compiled):
            return model
        return Compiled(model, **chosen)

    @staticmethod
    def check(
        *, fullgraph=False, dynamic=None, backend="xla", mode=None, options=None, scan_layers=False, name=None
    ) -> dict:
        """What of ``compile``'s options matters here.

        Raises:
            NotImplementedError: ``options`` are given.
        """
        if options:
            raise NotImplementedError(
                f"compile(options={options!r}) is not supported by rushlight: these are settings of torch's compiler. "
                "Leave options out."
            )
        return {"fullgraph": bool(fullgraph), "scan_layers": bool(scan_layers), "name": name}

    disable = _disable()
    explain = staticmethod(_explain.explain)

    def __repr__(self) -> str:
        return "<function compile>"


compile = _Compile()
