"""Owns ``Optax``: any gradient transformation of optax as an optimizer with groups, checkpoints and schedules.

May import this folder's bases, the tensor cell, devices and jax; ``optax`` itself is imported on use.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, GetAttrKey, keystr

from .._graph.modes import enable_grad
from .._graph.modes import state as modes
from .._tensor.tensor import Tensor, from_host
from ._fused import FusedOptimizer, plain_group
from .optimizer import _foreign_array

_HOME = "optax/"
_OWN = ("params", "param_names", "initial_lr")


class Optax(FusedOptimizer):
    """Steps by a gradient transformation of optax; the step of a group is one compiled call.

    The transformation sees the parameters of a group as a dict by name (``named_parameters()``), or by position
    (``"0"``, ``"1"``, ...) where they have no names: masks and labels are functions of that dict. Numbers that were
    given to a factory, or that ``optax.inject_hyperparams`` made part of the state, are options of the group: they may
    be changed between steps, and ``learning_rate`` is called ``lr``, so that torch's schedules work. A parameter
    without a gradient keeps its value and its state.

    Args:
        params: what to optimize; a group may bring a ``"transformation"`` and numbers of its own.
        transformation: what optax calls a GradientTransformation (``optax.adamw(1e-3)``, a chain, a ``MultiSteps``),
            or a factory of one (``optax.adamw``), which is called with ``options``.
        options: for a factory: numbers, which become options of the group; functions of the step count; and anything
            else it takes, which stays as it is.

    Raises:
        ImportError: optax is not installed.
        TypeError: no transformation, or options for one that is finished.

    Example:
        >>> import optax, rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> w.grad = torch.ones(2)
        >>> torch.optim.Optax([w], optax.sgd, lr=0.25).step()
        >>> w.detach()
        tensor([0.7500, 0.7500])
    """

    state: Any

    def __init__(self, params, transformation, **options) -> None:
        self._optax = _import()
        self._plans: list[SimpleNamespace] = []
        self._transformation = transformation
        options = {_group_name(key): value for key, value in options.items()}
        super().__init__(params, options)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters, with numbers or a transformation of their own.

        Args:
            param_group: a dict with ``"params"``, and any of ``"transformation"`` and a factory's options.

        Raises:
            TypeError: no transformation, or options for one that is finished.
        """
        if not isinstance(param_group, dict):
            super().add_param_group(param_group)
            return
        given = {_group_name(k): v for k, v in param_group.items() if k not in _OWN and k != "transformation"}
        transformation: Any = param_group.get("transformation", self._transformation)
        finished = hasattr(transformation, "init") and hasattr(transformation, "update")
        if not finished and not callable(transformation):
            raise TypeError(
                f"Optax(): expected a gradient transformation of optax or a factory of one, received "
                f"{type(transformation).__name__}. Pass for example optax.adamw(1e-3)."
            )
        if "transformation" not in param_group:
            given = {**self.defaults, **given}
        if finished and given:
            raise TypeError(
                f"Optax(): expected no options beside a finished transformation, received {', '.join(given)}. Pass the "
                "factory instead, as in Optax(params, optax.adamw, lr=1e-3)."
            )
        for key in [key for key in param_group if key not in _OWN]:
            del param_group[key]
        if not finished:
            transformation = self._make(transformation, given)
        elif hasattr(transformation, "gradient_transformation"):
            transformation = transformation.gradient_transformation()  # a MultiSteps
        defaults, self.defaults = self.defaults, {}
        try:
            super().add_param_group(param_group)
        finally:
            self.defaults = defaults
        plan = SimpleNamespace(transformation=transformation, members=(), form=None, programs={}, numbers=())
        self._plans.append(plan)
        self._find_numbers(plan, param_group, given)

    def _make(self, factory, options):
        """A transformation whose numbers are part of its state."""
        options = {_optax_name(key): value for key, value in options.items()}
        dynamic = {
            k for k, v in options.items()
            if _is_number(v) or (k == "learning_rate" and v is not None) or (callable(v) and "mask" not in k)
        }  # fmt: skip
        static = [name for name in inspect.signature(factory).parameters if name not in dynamic]
        values = {k: v._array() if isinstance(v, Tensor) else v for k, v in options.items()}
        return self._optax.inject_hyperparams(factory, static_args=static)(**values)

    def _find_numbers(self, plan, group, given) -> None:
        """Make options of the group from the numbers that are part of the transformation's state."""
        wanted = [(p.shape, p.dtype.np) for p in group["params"]]
        names = _names(group)

        paths = list(_hyper_paths(jax.tree_util.tree_flatten_with_path(_abstract(plan, names, wanted))[0]))
        if not paths:
            return

        def begin():
            zeros = {name: jnp.zeros(tuple(shape), dtype) for name, (shape, dtype) in zip(names, wanted)}
            leaves = dict(jax.tree_util.tree_flatten_with_path(plan.transformation.init(zeros))[0])
            return [leaves[path] for path in paths]

        found = {}
        for path, value in zip(paths, jax.jit(begin)()):
            name = base = _group_name(path[-1].key)
            while name in found:
                name = f"{base}_{len(found)}"
            found[name] = keystr(path)
            value = np.asarray(value)
            # The shortest number that rounds to it: 0.001 rather than 0.0010000000474974513.
            group[name] = given.get(name, float(str(value)) if value.dtype.kind == "f" else value.item())
        plan.numbers = tuple(found.items())

    # -- copying ------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        plans = [(plan.transformation, plan.numbers) for plan in self._plans]
        return {**super().__getstate__(), "_transformation": self._transformation, "_kept": plans}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state.pop("_kept", None)
        if kept is not None:
            self._optax = _import()
            self._plans = [
                SimpleNamespace(transformation=t, members=(), form=None, programs={}, numbers=n) for t, n in kept
            ]
        for i, (plan, group) in enumerate(zip(self._plans, state["param_groups"])):
            missing = [name for name, _ in plan.numbers if name not in group]
            if missing:
                raise ValueError(
                    f"loaded state dict lacks {', '.join(missing)} of group {i}: expected the numbers of the "
                    "transformation. Load the state of an optimizer that was made in the same way."
                )
        for key, held in state["state"].items():
            if isinstance(key, str) and key.startswith(_HOME):
                state["state"][key] = {
                    name: from_host(np.asarray(v)) if _foreign_array(v) else v for name, v in held.items()
                }
        super().__setstate__(state)

    def optax_state(self, group: int = 0):
        """The state as optax made it, for functions of optax that want one.

        Args:
            group: which group.

        Raises:
            RuntimeError: there has been no step.
        """
        plan = self._plans[group]
        if plan.form is None or _HOME + str(group) not in self.state:
            raise RuntimeError("Optax.optax_state(): expected a state, but no step has been made. Call step() first.")
        leaves = [t._array() for t in self._tensors(group, plan)]
        return jax.tree.unflatten(plan.form.tree, [_as_key(a, i) for a, i in zip(leaves, plan.form.keys)])

    # -- state --------------------------------------------------------------------------------------------------

    def _prepare(self) -> list:
        made = []
        for index, group in enumerate(self.param_groups):
            live = [p for p in group["params"] if p._requires_grad]
            if not live:
                continue
            before = self.state.get(_HOME + str(index))
            new = self._join(index, group, live)
            self._read_numbers(index, group, live[0]._storage.device)
            if new:
                made.append(([t._storage for t in new], functools.partial(self._go_back, index, before)))
        return made

    def _go_back(self, index, before) -> None:
        """Forget a state that was made for a trace and did not take part."""
        plan: Any = self._plans[index]
        plan.members, plan.form = (), None
        self.state.pop(_HOME + str(index), None)
        if before:
            self.state[_HOME + str(index)] = before

    def _join(self, index, group, live) -> list:
        """Let the state cover all parameters in ``live``; the tensors that are new."""
        plan, key = self._plans[index], _HOME + str(index)
        params, names = group["params"], _names(group)
        inside = {id(p) for p in live}
        if plan.form is None or any(i not in plan.members and id(p) in inside for i, p in enumerate(params)):
            plan.members = tuple(
                i for i, p in enumerate(params) if i in plan.members or id(p) in inside or p._requires_grad
            )
            wanted = [(params[i].shape, params[i].dtype.np) for i in plan.members]
            plan.form = _form(_abstract(plan, [names[i] for i in plan.members], wanted), names, plan.numbers)
            plan.programs = {}
        held = self.state.get(key) or {}
        if plan.form.checked is held:
            return []
        if all(path in held for path in plan.form.paths):
            self._take(index, plan, held, params[plan.members[0]])
            return []
        if held and not plan.form.fits(held):
            strange = sorted(set(held) - set(plan.form.paths))[:4]
            raise ValueError(
                f"loaded state dict holds the state of another transformation: group {index} has "
                f"{', '.join(strange)} besides what is expected. Make the optimizer as the saved one was made."
            )
        arrays = {names[i]: params[i]._array() for i in plan.members}
        state = jax.jit(plan.transformation.init)(arrays)
        new = []
        kept: dict[str, Tensor] = {}
        for path, leaf, owner in zip(plan.form.paths, jax.tree.leaves(state), plan.form.owners):
            if path in held:
                kept[path] = held[path]
                continue
            p = params[names.index(owner)] if owner is not None else params[plan.members[0]]
            leaf = jax.random.key_data(leaf) if _is_key(leaf) else leaf
            if owner is not None and leaf.shape == tuple(p.shape) and leaf.sharding != p._array().sharding:
                leaf = jax.device_put(leaf, p._array().sharding)
            kept[path] = Tensor._of(leaf, p._storage.device)
            new.append(kept[path])
        self.state[key] = kept
        self._take(index, plan, kept, params[plan.members[0]])
        return new

    def _take(self, index, plan, held, p) -> None:
        """Check a state that is used for the first time, and put it where the parameters are."""
        for path, shape, dtype in zip(plan.form.paths, plan.form.shapes, plan.form.dtypes):
            t = held[path]
            if not isinstance(t, Tensor):
                t = held[path] = from_host(np.asarray(t))
            if tuple(t.shape) != shape:
                raise ValueError(
                    f"loaded state dict: '{path}' of group {index} has shape {list(t.shape)}, expected {list(shape)}. "
                    "Make the optimizer as the saved one was made; a transformation that lays out all parameters as "
                    "one array cannot take in another parameter later."
                )
            if t._array().dtype != dtype:
                held[path] = Tensor._of(t._array().astype(dtype), p._storage.device)
            elif t._storage.device is not p._storage.device:
                held[path] = t.to(p.device)
        plan.form.checked = held

    def _tensors(self, index, plan) -> list[Tensor]:
        held = self.state[_HOME + str(index)]
        return [held[path] for path in plan.form.paths]

    def _read_numbers(self, index, group, where):
        self._numbers = tuple(name for name, _ in self._plans[index].numbers)
        return super()._read_numbers(index, group, where)

    # -- stepping -----------------------------------------------------------------------------------------------

    def step(self, closure=None, **extra):
        """Update the parameters that have a gradient.

        Args:
            closure: computes the loss again and returns it; the transformation gets it as ``value``.
            extra: what the transformation takes besides, such as ``value=loss``.

        Returns:
            What the closure returned, or None.

        Raises:
            RuntimeError: the parameters of a group live on several devices.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
            if isinstance(loss, Tensor):
                extra.setdefault("value", loss.detach())
        for index, group in enumerate(map(plain_group, self.param_groups)):
            live = [p for p in group["params"] if p.grad is not None]
            if not live:
                continue
            where = live[0]._storage.device
            if any(p._storage.device is not where for p in live):
                raise RuntimeError(
                    f"Optax.step(): expected the parameters of group {index} on one device, received several. Put "
                    "those of each device into a group of their own."
                )
            if not live[0].is_meta:
                self._update(index, group, live, where, extra)
        return loss

    def _update(self, index, group, live, where, extra) -> None:
        self._join(index, group, live)
        plan = self._plans[index]
        cell, tensors = self._read_numbers(index, group, where)
        if modes.trace is not None:
            modes.trace.step(self, index, where, cell.static, cell.vector._storage)
        members = [group["params"][i] for i in plan.members]
        present = tuple([p.grad is not None for p in members])
        dynamic = {k: v._array() if isinstance(v, Tensor) else v for k, v in extra.items() if _is_dynamic(v)}
        static = tuple(sorted((k, v) for k, v in extra.items() if k not in dynamic))
        key = present, static, cell.static
        update = plan.programs.get(key)
        if update is None:
            names = _names(group)
            update = plan.programs[key] = self._program(plan, [names[i] for i in plan.members], *key)
        held = self._tensors(index, plan)
        params = [p._array() for p in members]
        grads = [p.grad._array() if there else None for p, there in zip(members, present)]
        params, leaves = update(cell.vector._array(), tensors, [t._array() for t in held], params, grads, dynamic)
        for p, array, there in zip(members, params, present):
            if there:
                p._write(array)
        for t, array in zip(held, leaves):
            t._write(array)

    def _program(self, plan, names, present, static, numbers):
        form, optax = plan.form, self._optax
        transformation = optax.with_extra_args_support(plan.transformation)
        skipped = {name for name, there in zip(names, present) if not there}
        marks = [mark for _, mark in numbers[0]]
        hyper = [form.places[path] for _, path in plan.numbers]

        def update(vector, tensors, held, params, grads, extra):
            leaves = list(held)
            tensors, at = iter(tensors), 0
            for place, mark in zip(hyper, marks):
                if mark == "number":
                    value, at = vector[at], at + 1
                else:
                    value = next(tensors)
                leaves[place] = value.astype(form.dtypes[place])
            state = jax.tree.unflatten(form.tree, [_as_key(a, i) for a, i in zip(leaves, form.keys)])
            before = dict(zip(names, params))
            given = {n: jnp.zeros_like(p) if g is None else g for n, p, g in zip(names, params, grads)}
            extra = {"grad": given, **extra, **dict(static)}
            updates, state = transformation.update(given, state, before, **extra)
            after = optax.apply_updates(before, updates)
            new = []
            for old, leaf, owner, dtype in zip(leaves, jax.tree.leaves(state), form.owners, form.dtypes):
                leaf = jnp.asarray(leaf)
                if _is_key(leaf):
                    leaf = jax.random.key_data(leaf)
                new.append(old if owner in skipped else leaf.astype(dtype))
            return [after[n] for n in names], new

        return jax.jit(update)


def _import() -> Any:
    try:
        return importlib.import_module("optax")
    except ImportError as error:
        raise ImportError(
            "Optax needs the package 'optax', which is not installed: pip install 'rushlight[optax]'"
        ) from error


def _names(group) -> list[str]:
    return group.get("param_names") or [str(i) for i in range(len(group["params"]))]


def _group_name(name: str) -> str:
    return "lr" if name == "learning_rate" else name


def _optax_name(name: str) -> str:
    return "learning_rate" if name == "lr" else name


def _is_number(value) -> bool:
    return isinstance(value, (float, Tensor)) or (isinstance(value, jax.Array) and value.ndim == 0)


def _is_dynamic(value) -> bool:
    """Whether an extra argument of a step varies from step to step."""
    return isinstance(value, (bool, int, float, Tensor, np.ndarray, np.generic, jax.Array))


def _as_key(array, impl):
    return array if impl is None else jax.random.wrap_key_data(array, impl=impl)


def _abstract(plan, names, wanted):
    """The shape of the transformation's state."""
    like = {name: jax.ShapeDtypeStruct(tuple(shape), dtype) for name, (shape, dtype) in zip(names, wanted)}
    return jax.eval_shape(plan.transformation.init, like)


def _key_kinds(state) -> list:
    """For each leaf of a state, the name of the generator of a random key, and None for anything else."""
    kinds: list = []
    jax.eval_shape(
        lambda leaves: kinds.extend(jax.random.key_impl(a) if _is_key(a) else None for a in leaves),
        jax.tree.leaves(state),
    )
    return kinds


def _is_key(array) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _hyper_paths(leaves):
    """The places of 0-dim numbers that ``inject_hyperparams`` keeps and no schedule computes."""
    prefixes = {path[:i] + path[i + 1 : i + 2] for path, _ in leaves for i, k in enumerate(path) if _is(k, "_states")}
    for path, leaf in leaves:
        here = len(path) > 1 and _is(path[-2]) and isinstance(path[-1], DictKey)
        if here and leaf.shape == () and (*path[:-2], path[-1]) not in prefixes:
            yield path


def _is(key, suffix="") -> bool:
    return isinstance(key, GetAttrKey) and key.name == "hyperparams" + suffix


def _form(state, names, numbers) -> SimpleNamespace:
    """How a state is laid out: the tree, and for each leaf its path, shape, dtype and parameter."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(state)
    known, hyper = set(names), set(_hyper_paths(leaves))
    form = SimpleNamespace(
        tree=tree, paths=[], owners=[], shapes=[], dtypes=[], keys=_key_kinds(state), places={}, checked=None
    )
    for path, leaf in leaves:
        last: Any = path[-1] if path else None
        owned = isinstance(last, DictKey) and last.key in known and path not in hyper
        data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        form.places[keystr(path)] = len(form.paths)
        form.paths.append(keystr(path, simple=True, separator="/"))
        form.owners.append(last.key if owned else None)
        form.shapes.append(tuple(data.shape))
        form.dtypes.append(data.dtype)
    paths = set(form.paths)
    form.fits = lambda held: set(held) <= paths
    return form


Optax.__module__ = "rushlight.optim"
__all__ = ["Optax"]
