"""Owns ``Optimizer``: parameter groups, state, checkpoints and step hooks, whatever the rule of the update.

May import the tensor cell, the tape's modes and hooks, dtypes and devices.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from inspect import getgeneratorlocals, isgenerator
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._graph.modes import state as modes
from .._graph.node import RemovableHandle
from .._tensor.tensor import Tensor, from_host
from ..ops.foreach import group_tensors_by_device_and_dtype
from . import _by_name

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
params_t = ParamsT
_EMPTY = (
    "optimizer got an empty parameter list: expected at least one Tensor, received none. If the layers are in a plain "
    "Python list, put them in nn.ModuleList (and bare Parameters in nn.ParameterList), so that the module registers "
    "them."
)
_global_optimizer_pre_hooks: OrderedDict = OrderedDict()
_global_optimizer_post_hooks: OrderedDict = OrderedDict()


class _RequiredParameter:
    """The default of an option that each group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def _add_hook(table, hook, prepend=False) -> RemovableHandle:
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every optimizer's step.

    Args:
        hook: returns None, or a new ``(args, kwargs)``.
    """
    return _add_hook(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every optimizer's step."""
    return _add_hook(_global_optimizer_post_hooks, hook)


def _use_grad_for_differentiable(step):
    """Let a hand-written ``step`` record on the tape only where the optimizer was made with ``differentiable=True``."""

    @functools.wraps(step)
    def wrapper(self, *args, **kwargs):
        previous = modes.grad
        modes.grad = self.defaults["differentiable"]
        try:
            return step(self, *args, **kwargs)
        finally:
            modes.grad = previous

    return wrapper


def _hooked(step):
    """``step`` with the hooks around it."""

    @functools.wraps(step)
    def wrapper(*args, **kwargs):
        self = args[0]
        before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
        if not (before or after or _global_optimizer_pre_hooks or _global_optimizer_post_hooks):
            return step(*args, **kwargs)
        for hook in (*_global_optimizer_pre_hooks.values(), *before.values()):
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
        out = step(*args, **kwargs)
        for hook in (*after.values(), *_global_optimizer_post_hooks.values()):
            hook(self, args, kwargs)
        return out

    wrapper.hooked = True  # pyright: ignore[reportAttributeAccessIssue]
    return wrapper


def _module_of(params) -> Any:
    """The module whose ``parameters()`` this is, before any is taken; it knows why there are none."""
    places = getgeneratorlocals(params) if isgenerator(params) else {}
    owner = places.get("self", places.get("root"))
    return owner if hasattr(owner, "_warn_unregistered") else None


def kind_of(value) -> str:
    """The full name of a value's type, as torch prints it."""
    if isinstance(value, Tensor):
        return f"torch.{type(value).__name__} of {value.dtype!r}"
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def scalar_dtype() -> dtypes.dtype:
    """The dtype of step counts and the like: float64 where that is the default dtype, else float32."""
    return dtypes.float64 if dtypes.default_dtype() is dtypes.float64 else dtypes.float32


class Optimizer:
    """The base of all optimizers: holds parameter groups, their options, and state per parameter.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dicts each with ``"params"`` and options of its own.
        defaults: the options of groups that do not give their own.

    Raises:
        TypeError: ``params`` is one tensor, or holds something that is none.
        ValueError: no parameters, a parameter in two groups, or a tensor that is not a leaf.

    Example:
        >>> import rushlight as torch
        >>> w = torch.ones(2, requires_grad=True)
        >>> torch.optim.SGD([w], lr=0.5).param_groups[0]["lr"]
        0.5
    """

    _opt_called = False  # a schedule notes here that step() was called
    _hooks_of_all = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
    # The tables of hooks, made by this list of them.
    _optimizer_step_pre_hooks: OrderedDict
    _optimizer_step_post_hooks: OrderedDict
    _optimizer_state_dict_pre_hooks: OrderedDict
    _optimizer_state_dict_post_hooks: OrderedDict
    _optimizer_load_state_dict_pre_hooks: OrderedDict
    _optimizer_load_state_dict_post_hooks: OrderedDict

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        for table in Optimizer.__annotations__:
            setattr(self, table, OrderedDict())
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                f"{kind_of(params)}. Wrap it in a list."
            )
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        owner = _module_of(params)
        groups: list[Any] = list(params)
        if not groups:
            if owner is not None:
                owner._warn_unregistered()
            raise ValueError(_EMPTY)
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # -- copying, pickling, printing ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for table in Optimizer.__annotations__:
            self.__dict__.setdefault(table, OrderedDict())
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # -- hooks --------------------------------------------------------------------------------------------------

    # Optimizers of others, which work on lists of tensors, call it.
    _group_tensors_by_device_and_dtype = staticmethod(group_tensors_by_device_and_dtype)

    def _patch_step_function(self) -> None:
        """Put the hooks around the class's ``step``; once per class that defines one."""
        kind = type(self)
        if not getattr(kind.step, "hooked", False):
            kind.step = _hooked(kind.step)

    def register_step_pre_hook(self, hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; a returned pair replaces args and kwargs."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict`` collects anything."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` on the result of ``state_dict``; a returned dict replaces it."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; a returned dict is loaded instead."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def state_dict(self, *, by_name: bool = False) -> dict[str, Any]:
        """The state and the groups, with parameters replaced by their numbers; tensors are not copied.

        Args:
            by_name: replace parameters by their names instead; needs ``named_parameters()`` in the constructor.

        Returns:
            dict: ``{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}``.

        Raises:
            ValueError: ``by_name`` where parameters have no names.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        number: dict[int, int] = {}
        groups, start = [], 0
        for group in self.param_groups:
            # A repeated parameter takes its last place, as in torch.
            number.update({id(p): i for i, p in enumerate(group["params"], start) if id(p) not in number})
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [number[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        packed_state = {(number[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        result = {"state": packed_state, "param_groups": groups}
        if by_name:
            result = _by_name.to_names(result)
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state from ``state_dict()``, of rushlight or of torch.

        Parameters are matched by name where both sides have the same names, else by position.

        Args:
            state_dict: its tensors may be rushlight's, numpy arrays, or anything that converts to numpy; its parameters
                may be numbers or names.

        Raises:
            ValueError: another number of groups, or of parameters in a group, or other names.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        state_dict = dict(_by_name.resolved(self.param_groups, state_dict))
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: expected "
                f"{len(groups)}, received {len(saved)}. Build the optimizer with the groups of the checkpoint."
            )
        for i, (group, loaded) in enumerate(zip(groups, saved)):
            if len(group["params"]) != len(loaded["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {i} has {len(group['params'])} parameters, received {len(loaded['params'])}."
                )
        numbers = chain.from_iterable(g["params"] for g in saved)
        param_of = dict(zip(numbers, chain.from_iterable(g["params"] for g in groups)))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in param_of:
                state[param_of[key]] = self._cast(param_of[key], value, key, state_dict["param_groups"])
            else:
                state[key] = value
        for group, loaded in zip(groups, saved):
            loaded["params"] = group["params"]
            if "param_names" in group:
                loaded.setdefault("param_names", group["param_names"])
            for key, value in loaded.items():
                if key != "params" and _foreign_array(value):
                    loaded[key] = from_host(np.asarray(value))
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _cast(self, param, value, number, groups, key=None):
        """A loaded value in the dtype and on the device where the state of ``param`` belongs."""
        if isinstance(value, dict):
            return {k: self._cast(param, v, number, groups, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._cast(param, v, number, groups) for v in value)
        if _foreign_array(value):
            value = from_host(np.asarray(value))
        if isinstance(value, Tensor):
            return self._process_value_according_to_param_policy(param, value, number, groups, key)
        return value

    @staticmethod
    def _process_value_according_to_param_policy(param, value, param_id, param_groups, key=None) -> Tensor:
        if key == "step":
            group = next((g for g in param_groups if param_id in g["params"]), {})
            if group.get("capturable") or group.get("fused"):
                return value.to(dtype=dtypes.float32, device=param.device)
            return value if param.is_cpu else value.to(device=param.device)
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)

    # -- stepping -----------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters.

        Args:
            set_to_none: None instead of zeros; a parameter without a gradient is left out of ``step``.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                    continue
                grad = p.grad
                if grad is None:
                    continue
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                array = grad._array()
                if not isinstance(array, jax.ShapeDtypeStruct):
                    grad._write(jnp.zeros_like(array))

    def step(self, closure=None):
        """Update the parameters once.

        Args:
            closure: computes the loss again and returns it.

        Returns:
            What the closure returned, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step(); override it")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize more parameters, with options of their own.

        Args:
            param_group: a dict with ``"params"`` and any of the optimizer's options.

        Raises:
            TypeError: not a dict, a set of parameters, or something that is no tensor.
            ValueError: a parameter that already is in a group, or is not a leaf.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        else:
            params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        params = param_group["params"] = [p[1] if isinstance(p, tuple) else p for p in params]
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {kind_of(p)}")
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        held: set[Tensor] = set()
        for group in self.param_groups:
            held.update(group["params"])
            if ("param_names" in param_group) != ("param_names" in group):
                which = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {which} to the optimizer"
                )
        if not held.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)


def _foreign_array(value) -> bool:
    """Whether a value is an array of another library: numpy's, or a torch tensor."""
    return hasattr(value, "__array__") and not isinstance(value, (Tensor, np.generic, dict))


def to_scalar(value):
    """A tensor of one element without its dimensions; anything else as it is."""
    return Tensor._of(value._array().reshape(()), value.device) if isinstance(value, Tensor) and value.dim() else value


_to_scalar = to_scalar


def check_lr(lr, message="Invalid learning rate: {}") -> None:
    """Refuse a learning rate that is negative or has several elements.

    Raises:
        ValueError: as torch's.
    """
    if isinstance(lr, Tensor):
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if isinstance(lr._array(), (Tracer, jax.ShapeDtypeStruct)):
            return
    check_at_least(message, lr, 0.0)


def check_at_least(message: str, value, low) -> None:
    """Refuse a number below ``low`` (NaN included)."""
    number = value.item() if isinstance(value, Tensor) else value
    if not number >= low:
        raise ValueError(message.format(value))


def check_betas(betas) -> None:
    """Refuse decay rates outside [0, 1)."""
    for i in (0, 1):
        number = betas[i].item() if isinstance(betas[i], Tensor) else betas[i]
        if not 0.0 <= number < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def check_fused(fused, foreach, differentiable) -> None:
    """Refuse combinations that torch refuses; all three run the same compiled update here."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]
