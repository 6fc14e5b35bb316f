"""Owns ``FusedOptimizer``: an optimizer whose step is one compiled call per group, from a rule written in pure JAX.

May import this folder's base class, the tensor cell, the door (for ``differentiable=True``), devices, dtypes and jax.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import _device as devices
from .._graph.modes import enable_grad
from .._graph.modes import state as modes
from .._tensor.program import Program
from .._tensor.tensor import Tensor
from ..ops._execute import execute
from .optimizer import Optimizer, scalar_dtype

_TENSOR = "tensor"
_upload = jax.jit(lambda host: host)  # three times as fast as jnp.asarray, and the result may join any device
_programs: dict = {}


class FusedOptimizer(Optimizer):
    """The base of optimizers whose update is a pure function of arrays and numbers.

    A subclass declares what its rule reads, and gives the rule in two static methods:
    ``_begin(h, *scalars)`` computes, in float64 and once for all parameters of the same age, the new scalars and the
    coefficients; ``_rule(c, h, param, grad, *slots)`` computes one parameter and its slots. Numbers are inputs of the
    compiled program, so that changing them compiles nothing; an optional number that is zero is None in ``h``.

    Attributes:
        _numbers: keys of a group that hold a number, a tensor of one element, or a tuple of these.
        _optional: those of them for which zero leaves a term out.
        _flags: keys whose value chooses a branch.
        _scalars: the 0-dim state, with initial values.
        _late: options that older checkpoints may lack.
        _lazy: a slot may be missing while others are there.
    """

    _numbers: tuple = ()
    _optional: frozenset = frozenset()
    _flags: tuple = ()
    _scalars: dict = {}
    _late: dict = {}
    _lazy = False
    _preparing = False

    def _slots(self, group) -> tuple:
        """The names of the state arrays of this group."""
        return ()

    def _new_slot(self, name, p, group):
        """The first value of a state array: zeros like the parameter; None leaves it to the rule."""
        return zeros_beside(p)

    def _new_scalar(self, name, group) -> float:
        return self._scalars[name]

    def _check(self, p, group) -> None:
        """Refuse a parameter that the rule is not meant for."""

    @staticmethod
    def _begin(h, *scalars):
        """The new scalars (a tuple) and the coefficients (a dict of numbers)."""
        raise NotImplementedError("a FusedOptimizer defines _begin(h, *scalars)")

    @staticmethod
    def _rule(c, h, p, g, *slots):
        """The new parameter and slots."""
        raise NotImplementedError("a FusedOptimizer defines _rule(c, h, p, g, *slots)")

    def __init__(self, params, defaults):
        self._cells: dict = {}
        super().__init__(params, defaults)

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        self._cells = {}
        for group in self.param_groups:
            for key, value in self._late.items():
                group.setdefault(key, value)
            for p in group["params"]:
                held = self.state.get(p)
                if held:
                    for name in self._scalars:
                        if name in held and not isinstance(held[name], Tensor):
                            held[name] = scalar_tensor(float(held[name]), p)

    def step(self, closure=None):
        """Update the parameters that have a gradient.

        Args:
            closure: computes the loss again and returns it; it runs with recording on.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for index, group in enumerate(map(plain_group, self.param_groups)):
            live = [p for p in group["params"] if p.grad is not None]
            if not live:
                continue
            where = live[0]._storage.device
            if len(live) == 1 or (len(set(live)) == len(live) and all(p._storage.device is where for p in live)):
                self._apply(index, group, live, where)
            else:
                for part in _parts(live):
                    self._apply(index, group, part, part[0]._storage.device)
        return loss

    def _prepare(self) -> list:
        """Make the state of all parameters that are trained, so that a trace finds it as input.

        Returns:
            list: for each parameter whose state is new, its storages and a function that takes it away again.
        """
        made = []
        names = tuple(self._scalars)
        self._preparing = True
        try:
            for index, group in enumerate(self.param_groups):
                live = [p for p in group["params"] if p._requires_grad]
                for where in dict.fromkeys(p._storage.device for p in live):
                    self._read_numbers(index, group, where)
                slots = self._slots(group)
                for p in live:
                    if len(self.state.get(p, ())) >= len(names) + len(slots):
                        continue
                    state = self.state[p]
                    there = set(state)
                    self._start(p, group, state, names, slots)
                    new = [name for name in state if name not in there]
                    made.append(([state[n]._storage for n in new], functools.partial(self._forget, p, new)))
                self._share_ages(live, names)
        finally:
            self._preparing = False
        return made

    def _forget(self, p, names) -> None:
        for name in names:
            self.state[p].pop(name, None)
        if not self.state[p]:
            del self.state[p]

    def _share_ages(self, live, names) -> None:
        """Let parameters of equal age hold the same 0-dim arrays, so that one computation serves them all."""
        arrays: dict = {}
        for p in live:
            for name in names:
                held = self.state[p].get(name) if p in self.state else None
                if isinstance(held, Tensor) and not held.is_meta:
                    array = held._array()
                    first = arrays.setdefault((name, str(array.dtype), np.asarray(array).item()), array)
                    if first is not array:
                        held._write(first)

    # -- one group on one device --------------------------------------------------------------------------------

    def _apply(self, index, group, live, where) -> None:
        scalar_names, names = tuple(self._scalars), self._slots(group)
        count = len(scalar_names) + len(names)
        params, grads, slots, states, ages, seen, age_of = [], [], [], [], [], {}, []
        for p in live:
            params.append(p._array())
            grads.append(p.grad._array())
            if not count:
                continue
            state = self.state[p]
            if len(state) < count:
                self._start(p, group, state, scalar_names, names)
            states.append(state)
            held = [state.get(name) for name in names] if self._lazy else [state[name] for name in names]
            slots.append([None if t is None else t._array() for t in held])
            if scalar_names:
                age = [state[name]._array() for name in scalar_names]
                key = id(age[0]) if len(age) == 1 else tuple(map(id, age))
                here = seen.get(key)
                if here is None:
                    here = seen[key] = len(ages)
                    ages.append(age)
                age_of.append(here)
        if isinstance(params[0], jax.ShapeDtypeStruct):
            return
        if len(ages) > 1:
            ages, age_of = self._merge(index, ages, age_of)
        cell, tensors = self._read_numbers(index, group, where)
        if modes.trace is not None:
            modes.trace.step(self, index, where, cell.static, cell.vector._storage)
        key = type(self), cell.static, tuple(age_of) if len(ages) > 1 else None
        update = _programs.get(key)
        if update is None:
            update = _programs[key] = jax.jit(functools.partial(_update, *key))
        if group.get("differentiable"):
            self._apply_on_tape(key, update, group, cell, live, states, ages, age_of, names)
            return
        ages, params, slots = update(cell.vector._array(), tensors, ages, params, grads, slots)
        for p, array in zip(live, params):
            p._write(array)
        for i, state in enumerate(states):
            if ages:
                for name, array in zip(scalar_names, ages[age_of[i]]):
                    state[name]._write(array)
            for name, array in zip(names, slots[i]):
                held = state.get(name)
                if held is not None:
                    held._write(array)
                elif array is not None:
                    state[name] = Tensor._of(array, where)

    def _apply_on_tape(self, key, update, group, cell, live, states, ages, age_of, names) -> None:
        """The same update as one step of the tape, so that gradients flow through it."""
        scalar_names = tuple(self._scalars)
        tensors = [v for name in self._numbers for v in _entries(group[name]) if isinstance(v, Tensor)]
        slots = [[state.get(name) for name in names] for state in states]
        leaves, tree = jax.tree.flatten(
            (cell.vector._array(), tensors, ages, live, [p.grad for p in live], slots),
            is_leaf=lambda x: isinstance(x, Tensor),
        )
        program = _programs.get((key, tree))
        if program is None:
            program = _programs[key, tree] = Program(
                lambda *given: tuple(jax.tree.leaves(update(*jax.tree.unflatten(tree, given)))), "optimizer_step"
            )
        previous, modes.grad = modes.grad, True
        try:
            for p in live:
                p._check_in_place()
            results = iter(execute(program, leaves))
            ages = [[next(results)._array() for _ in scalar_names] for _ in ages]
            for p in live:
                p._assign(next(results))
            for state in states:
                for name in names:
                    held = state.get(name)
                    state[name] = next(results) if held is None else held._assign(next(results))
        finally:
            modes.grad = previous
        for i, state in enumerate(states):
            if ages:
                for name, array in zip(scalar_names, ages[age_of[i]]):
                    state[name]._write(array)

    def _start(self, p, group, state, scalar_names, names) -> None:
        """Make the state of a parameter that is stepped for the first time."""
        if state and not self._lazy:
            return
        self._check(p, group)
        for name in scalar_names:
            if name not in state:
                state[name] = scalar_tensor(self._new_scalar(name, group), p)
        for name in names:
            slot = self._new_slot(name, p, group) if state.get(name) is None else None
            if slot is not None:
                state[name] = slot

    def _merge(self, index, ages, age_of):
        """Find parameters of equal age whose scalars are separate arrays, as after loading, and let them share."""
        if self._cells.get(index) == age_of or any(isinstance(a, Tracer) for age in ages for a in age):
            return ages, age_of
        kept, values, new = [], {}, []
        for age in ages:
            value = tuple([np.asarray(a).item() for a in age])
            if value not in values:
                values[value] = len(kept)
                kept.append(age)
            new.append(values[value])
        age_of = [new[i] for i in age_of]
        self._cells[index] = age_of
        return kept, age_of

    def _read_numbers(self, index, group, where):
        """The group's numbers as one array, made anew only when one changed; and those that are tensors."""
        flat, tensors = [], []
        for name in self._numbers:
            value = group[name]
            if type(value) is float or type(value) is int:
                flat.append(value)
                continue
            for v in _entries(value):
                if isinstance(v, Tensor):
                    tensors.append(v._array().reshape(()))
                    flat.append(_TENSOR)
                else:
                    flat.append(v)
        flags = [group[name] for name in self._flags]
        cell = self._cells.get((index, where))
        if cell is None or cell.flat != flat or cell.flags != flags:
            cell = self._cells[index, where] = self._new_cell(group, flat, flags, where, cell)
        return cell, tensors

    def _new_cell(self, group, flat, flags, where, old):
        marks, position = [], 0
        for name in self._numbers:
            value, count = group[name], len(_entries(group[name]))
            found = tuple([_mark(v, name in self._optional) for v in flat[position : position + count]])
            marks.append((name, found if isinstance(value, (tuple, list)) else found[0]))
            position += count
        host = np.array([v if isinstance(v, (int, float)) else v or 0.0 for v in flat if v is not _TENSOR], np.float64)
        array = upload(host, where)
        # One for each length: programs that were compiled while a number was a tensor have another one.
        vectors = {} if old is None else old.vectors
        vector = vectors.get(host.size)
        if vector is None:
            vector = vectors[host.size] = Tensor._of(array, where)
        else:
            vector._write(array)
        return SimpleNamespace(
            flat=flat,
            flags=flags,
            vector=vector,
            vectors=vectors,
            static=(tuple(marks), tuple(zip(self._flags, flags))),
        )


def plain_group(group) -> dict:
    """A group whose numbers are read as they are, also while a function is traced: they are inputs of its program."""
    return getattr(group, "real", group)


def _entries(value):
    return value if isinstance(value, (tuple, list)) else (value,)


def _mark(value, optional):
    """How the rule sees a number: a tensor, an entry of the vector, or nothing."""
    if value is _TENSOR:
        return _TENSOR
    return None if value is None or (optional and value == 0) else "number"


def _update(kind, static, age_of, vector, tensors, ages, params, grads, slots):
    """One step of all parameters of a group, as a pure function.

    Args:
        kind: the optimizer's class, which has the rule.
        static: how the numbers are laid out, and the flags.
        age_of: for each parameter, which of ``ages`` is its own; None where all share the first.
        vector, tensors: the numbers.
        ages: the distinct tuples of 0-dim state.
        params, grads, slots: one entry for each parameter.

    Returns:
        tuple: the new ages, params and slots.
    """
    marks, flags = static
    numbers, supply = iter(range(vector.shape[0])), iter(tensors)

    def number(mark):
        if mark is _TENSOR:
            return next(supply).astype(jnp.float64)
        if mark is None:
            next(numbers)
            return None
        return vector[next(numbers)]

    h = SimpleNamespace(**dict(flags))
    for name, mark in marks:
        setattr(h, name, tuple([number(m) for m in mark]) if isinstance(mark, tuple) else number(mark))
    begun = [kind._begin(h, *(a.astype(jnp.float64) for a in age)) for age in ages or [()]]
    new_ages = [[new.astype(a.dtype) for new, a in zip(b[0], age)] for b, age in zip(begun, ages)]
    new_params, new_slots, narrowed = [], [], {}
    for i, (p, g) in enumerate(zip(params, grads)):
        wide = _wide(p.dtype)
        key = age_of[i] if age_of else 0, p.dtype
        if key not in narrowed:
            given = begun[key[0]][1]
            narrowed[key] = SimpleNamespace(**{k: None if v is None else v.astype(wide) for k, v in given.items()})
            narrowed[key].dtype = p.dtype
        held = slots[i] if slots else []
        results = kind._rule(narrowed[key], h, *(_widen(a, wide) for a in (p, g, *held)))
        results = results if isinstance(results, tuple) else (results,)
        like = [p, *(p if a is None else a for a in held)]
        results = [_narrow(r, a) for r, a in zip(results, like)]
        new_params.append(results[0])
        new_slots.append(results[1:])
    return new_ages, new_params, new_slots


def _wide(dtype):
    """The real dtype to compute in: a step of 1e-3 or a decay of 0.999 means nothing in 16 bits."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.float64 if dtype == np.complex128 else np.float32)
    return dtype if dtype.itemsize >= 4 else np.dtype(np.float32)


def _widen(a, wide):
    """An array as the rule sees it: at least 32 bits, and complex numbers as pairs."""
    if a is None:
        return None
    if jnp.iscomplexobj(a):
        a = jnp.stack([a.real, a.imag], -1)
    return a.astype(wide)


def _narrow(a, like):
    if a is None:
        return None
    if jnp.iscomplexobj(like):
        a = jax.lax.complex(a[..., 0], a[..., 1])
    return a.astype(like.dtype)


def upload(host, where):
    """A small array beside tensors on ``where``, not tied to one device, so that it may join sharded ones."""
    with jax.ensure_compile_time_eval(), jax.default_device(devices.jax_device(where)):
        return _upload(host)


def zeros_beside(p, value: complex = 0.0) -> Tensor:
    """A tensor like ``p``, placed like ``p``, filled with a number; a real array also while ``p`` is being traced."""
    array = p._array()
    if isinstance(array, jax.ShapeDtypeStruct):
        return Tensor._of(array, p.device)
    host = np.full(array.shape, value, array.dtype)
    if isinstance(array, Tracer):
        with jax.ensure_compile_time_eval():
            return Tensor._of(jax.device_put(host, devices.jax_device(p.device)), p.device)
    return Tensor._of(jax.device_put(host, array.sharding), p.device)


_scalar_arrays: dict = {}


def scalar_tensor(value, p) -> Tensor:
    """A 0-dim tensor of state beside ``p``; parameters that start together share the array until the next step."""
    where = devices.cpu if p.is_meta else p.device
    # Tied to its device like ``p``: after the first update it would be, and that would compile the update again.
    alone = p.is_meta or isinstance(p._array(), Tracer) or len(p._array().sharding.device_set) == 1
    key = value, scalar_dtype(), where, alone
    found = _scalar_arrays.get(key)
    if found is None:
        if len(_scalar_arrays) > 256:
            _scalar_arrays.clear()
        found = upload(np.array(value, scalar_dtype().np), where)
        if alone:
            with jax.ensure_compile_time_eval():
                found = jax.device_put(found, devices.jax_device(where) or found.sharding)
        _scalar_arrays[key] = found
    return Tensor._of(found, where)


def _parts(live) -> list:
    """Parameters in lists of one device each, without repetition; a repeated parameter is stepped again."""
    parts: dict = {}
    times: dict = {}
    for p in live:
        turn = times[p] = times.get(p, 0) + 1
        parts.setdefault((turn, p.device), []).append(p)
    return [parts[key] for key in sorted(parts, key=lambda k: k[0])]
