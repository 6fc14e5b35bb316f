"""Owns the states of a model and its optimizers under the parameters' names, whatever wraps the model.

May import nn, optim, the tensor cell and _errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..._errors import missing_name, not_supported
from ..._graph.modes import no_grad
from ..._tensor.tensor import Tensor
from ...nn import Module
from ...nn.parallel import DistributedDataParallel
from ...ops.creation import tensor, zeros_like
from ...optim import Optimizer

_CHECKPOINT_PREFIX = "_checkpoint_wrapped_module."


@dataclass
class StateDictOptions:
    """How states are taken and given.

    Attributes:
        full_state_dict: whole tensors, as they always are here; on loading, what is missing stays as it is, and a
            model on the meta device takes the tensors themselves.
        cpu_offload: give copies on the CPU.
        ignore_frozen_params: leave out parameters that do not require gradients.
        keep_submodule_prefixes: with ``submodules``: whether names begin with the submodule's.
        strict: refuse a state with missing or unexpected names.
        broadcast_from_rank0: accepted: there is one process.
        flatten_optimizer_state_dict: give an optimizer's state in one level, with a name for each value.
        dsd_fqn_modifiers: the method by which a module would change names; no module may have it.
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def _plain_name(model: Module, name: str) -> str:
    """A name without what wrappers add to it."""
    holder: Any = model
    kept = []
    for part in name.replace(_CHECKPOINT_PREFIX, "").split("."):
        if not (isinstance(holder, DistributedDataParallel) and part == "module"):
            kept.append(part)
        holder = getattr(holder, part, None)
    return ".".join(kept)


class _Names:
    """The names of a model's parameters, and the options of a call."""

    def __init__(
        self, model: Module, optimizers: Iterable[Optimizer], options: StateDictOptions | None, submodules: Any = None
    ):
        self.model, self.optimizers, self.options = model, tuple(optimizers), options or StateDictOptions()
        if self.options.broadcast_from_rank0 and not self.options.full_state_dict:
            raise ValueError("full_state_dict must be True when broadcast_from_rank0 is True.")
        for module in model.modules():
            if hasattr(module, self.options.dsd_fqn_modifiers):
                raise not_supported(
                    f"{type(module).__name__}.{self.options.dsd_fqn_modifiers}", "Rename the keys of the state instead."
                )
        self.of: dict[int, list[str]] = {}
        for name, param in model.named_parameters(remove_duplicate=False):
            self.of.setdefault(id(param), []).append(_plain_name(model, name))
        self.prefixes = ()
        if submodules:
            warnings.warn(
                "Getting submodules only model/optim state_dict is deprecated and will be removed in 2.5. This feature "
                "can be achieved by manually filtering out the state_dict returned from get_state_dict.",
                FutureWarning,
                stacklevel=4,
            )
            wanted = set(map(id, submodules))
            self.prefixes = tuple(
                _plain_name(model, name) + "." for name, module in model.named_modules() if id(module) in wanted
            )

    def used(self, param: Tensor, there: Any) -> list[str]:
        """The names of a parameter; of one with several, those that are ``there``."""
        names = self.of[id(param)]
        return names if len(names) == 1 else [name for name in names if name in there]


def _optimizers(given: Any) -> tuple[Optimizer, ...]:
    found = (given,) if isinstance(given, Optimizer) else tuple(given)
    return found


def _needed(optimizers: tuple) -> tuple:
    if not optimizers:
        raise RuntimeError("Optimizers are not passed in but optim_only is set to True.")
    return optimizers


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return type(value)((key, _on_cpu(one)) for key, one in value.items())
    return type(value)(map(_on_cpu, value)) if type(value) in (list, tuple) else value


# -- models -----------------------------------------------------------------------------------------------------


def _model_state(names: _Names) -> dict[str, Any]:
    model, options = names.model, names.options
    state = {_plain_name(model, key): value for key, value in model.state_dict().items()}
    if names.prefixes:
        shown = {}
        for key, value in state.items():
            for prefix in names.prefixes:
                if key.startswith(prefix):
                    shown[key if options.keep_submodule_prefixes else key.removeprefix(prefix)] = value
        state = shown
    if options.ignore_frozen_params:
        for key, param in model.named_parameters():
            if not param.requires_grad:
                state.pop(_plain_name(model, key))
    elif not state and not names.prefixes and not (options.cpu_offload and options.full_state_dict) and options.strict:
        raise RuntimeError(
            "The option indicates that model state_dict is required to save or load, but model state_dict is empty."
        )
    return _on_cpu(state) if options.cpu_offload else state


def get_model_state_dict(
    model: Module, *, submodules: set[Module] | None = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """A model's state, under the names that its parameters have without wrappers.

    Args:
        model: the model; ``DistributedDataParallel`` and checkpoint wrappers leave no trace in names.
        submodules: only these; deprecated.
        options: how.

    Raises:
        RuntimeError: the model has no state.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.checkpoint.state_dict import get_model_state_dict
        >>> list(get_model_state_dict(torch.nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    return _model_state(_Names(model, (), options, submodules))


def set_model_state_dict(
    model: Module, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> Any:
    """Give a model a state of ``get_model_state_dict``.

    Args:
        model: the model.
        model_state_dict: the state.
        options: how.

    Returns:
        What ``load_state_dict`` gives: the missing and the unexpected names.

    Raises:
        RuntimeError: the state is empty, or does not fit.
    """
    names = _Names(model, (), options)
    state = _flat_model_state(model, model_state_dict)
    o = names.options
    if not state and o.strict and not (o.ignore_frozen_params or o.broadcast_from_rank0 or _offloaded(o)):
        raise RuntimeError(
            "The option indicates that model state_dict is required to save or load, but model state_dict is empty."
        )
    return _load_model(names, state)


def _offloaded(options: StateDictOptions) -> bool:
    return options.cpu_offload and options.full_state_dict


def _flat_model_state(model: Module, state: Any) -> dict[str, Any]:
    if not state or not isinstance(next(iter(state)), Module):
        return dict(state)
    warnings.warn(
        "Passing model_state_dict as a ``Dict[nn.Module, Dict[str, Any]]``is deprecated and will be removed in 2.5. If "
        "you need this feature, please preprocess the model_state_dict to achieve the same functionality.",
        FutureWarning,
        stacklevel=3,
    )
    names = {id(module): _plain_name(model, name) for name, module in model.named_modules()}
    return {f"{names[id(part)]}.{key}": value for part, held in state.items() for key, value in held.items()}


def _load_model(names: _Names, state: dict[str, Any]) -> Any:
    model, options = names.model, names.options
    own = model.state_dict(keep_vars=True)
    given = {}
    assign = False
    for key, value in own.items():
        name = _plain_name(model, key)
        if name in state:
            given[key] = state.pop(name)
        elif options.full_state_dict or options.broadcast_from_rank0:
            given[key] = value.detach() if isinstance(value, Tensor) else value
        elif name != key and options.strict:
            raise RuntimeError(f"Missing key: {name}.")
        if options.full_state_dict and isinstance(value, Tensor) and value.device.type == "meta":
            assign = True
    return model.load_state_dict({**given, **state}, strict=options.strict, assign=assign)


# -- optimizers -------------------------------------------------------------------------------------------------


def _init_optim_state(optim: Optimizer) -> None:
    """Let an optimizer make its state, by a step that changes no parameter; one with gradients waiting is let be."""
    params = [param for group in optim.param_groups for param in group["params"]]
    if optim.state or any(param.grad is not None for param in params):
        return
    for param in params:
        if param.requires_grad:
            param.grad = zeros_like(param)
    # Weight decay and the like move parameters even without gradients, unless the rate is zero.
    rates = [(group, group["lr"]) for group in optim.param_groups if "lr" in group]
    for group, rate in rates:
        group["lr"] = tensor(0.0) if isinstance(rate, Tensor) else 0.0
    optim.step(closure=None)
    for group, rate in rates:
        group["lr"] = rate
    optim.zero_grad(set_to_none=True)


def _optim_state(names: _Names) -> dict[str, Any]:
    state: dict[str, Any] = {"state": {}, "param_groups": []}
    for optim in names.optimizers:
        with no_grad():
            _init_optim_state(optim)
        found = optim.state_dict()
        params = [param for group in optim.param_groups for param in group["params"]]
        name_of = [names.of[id(param)][0] for param in params]
        state["state"].update({name_of[key]: value for key, value in found["state"].items()})
        for group in found["param_groups"]:
            state["param_groups"].append({**group, "params": [name_of[i] for i in group["params"]]})
    if names.options.flatten_optimizer_state_dict:
        state = _flattened(state)
    elif not state["state"] and not state["param_groups"]:
        raise RuntimeError(
            f"The option indicates that model state_dict is required to save, or load but optim state_dict is empty. "
            f"{state}"
        )
    return _on_cpu(state) if names.options.cpu_offload else state


def _flattened(state: dict[str, Any]) -> dict[str, Any]:
    flat = dict(_leaves(state["state"], "state"))
    for group in state["param_groups"]:
        options = {key: value for key, value in group.items() if key != "params"}
        flat.update({f"param_groups.{name}.{key}": v for name in group["params"] for key, v in options.items()})
    return flat


def _leaves(value: dict, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        if isinstance(one, dict):
            yield from _leaves(one, f"{prefix}.{key}")
        elif isinstance(one, Tensor | int | float):
            yield f"{prefix}.{key}", one
        else:
            raise NotImplementedError(
                "Flattening optimizer state_dict only supports tensor, int, float, dict states now. "
                f"Type is {type(one)}."
            )


def _nested(flat: dict[str, Any], prefix: str) -> Any:
    """The value of a name, or the dict of all names below it."""
    if prefix in flat:
        return flat[prefix]
    found: dict[str, Any] = {}
    for key, value in flat.items():
        if key.startswith(prefix + "."):
            *above, last = key.removeprefix(prefix + ".").split(".")
            holder = found
            for part in above:
                holder = holder.setdefault(part, {})
            holder[last] = value
    return found


def _unflattened(names: _Names, optim: Optimizer, flat: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {"state": {}, "param_groups": []}
    for group in optim.param_groups:
        options = [key for key in group if key != "params"]
        there = {
            key.removeprefix("param_groups.").rpartition(".")[0] for key in flat if key.startswith("param_groups.")
        }
        params = []
        for param in group["params"]:
            for name in names.used(param, there):
                params.append(name)
                if param.requires_grad:
                    state["state"][name] = {key: _nested(flat, f"state.{name}.{key}") for key in optim.state[param]}
        held = {key: flat[f"param_groups.{params[0]}.{key}"] for key in options}
        state["param_groups"].append({"params": params, **held})
    return state


def _part(names: _Names, optim: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """What of a state of several optimizers is this one's."""
    if all(isinstance(key, int) for key in state["state"]) and state["state"]:
        return state
    part: dict[str, Any] = {"state": {}, "param_groups": []}
    groups = state["param_groups"]
    there = {name for group in groups for name in group["params"]}
    for group in optim.param_groups:
        params = [name for param in group["params"] for name in names.used(param, there)]
        for param in group["params"]:
            for name in names.used(param, there) if param.requires_grad else ():
                if name in state["state"]:
                    part["state"][name] = state["state"][name]
                elif names.options.strict and state["state"]:  # plain SGD has no state at all
                    raise RuntimeError(
                        f"Missing optimizer state for parameter '{name}' in checkpoint. The parameter requires "
                        "gradients but has no saved optimizer state. To load anyway, use "
                        "StateDictOptions(strict=False)."
                    )
        source = [held for held in groups if set(held["params"]) & set(params) or not (params or held["params"])]
        options = {key: value for held in source for key, value in held.items() if key != "params"}
        part["param_groups"].append({"params": params, **options})
    return part


def _numbered(state: dict[str, Any]) -> dict[str, Any]:
    """A state with parameters told by their places, as optimizers themselves tell them."""
    order = [name for group in state["param_groups"] for name in group["params"]]
    place = {name: i for i, name in enumerate(order)}
    groups = [{**group, "params": [place[name] for name in group["params"]]} for group in state["param_groups"]]
    return {"state": {place[name]: held for name, held in state["state"].items()}, "param_groups": groups}


def _load_optim(names: _Names, state: dict[str, Any]) -> None:
    if not state and names.optimizers and not _offloaded(names.options) and not names.options.broadcast_from_rank0:
        raise RuntimeError(
            f"The option indicates that model state_dict is required to save, or load but optim state_dict is empty. "
            f"{state}"
        )
    for optim in names.optimizers:
        with no_grad():
            _init_optim_state(optim)
        if state:
            part = _part(names, optim, state) if "state" in state else _unflattened(names, optim, state)
            optim.load_state_dict(_numbered(part))


def get_optimizer_state_dict(
    model: Module, optimizers: Optimizer | Iterable[Optimizer], *, submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The state of optimizers, under the parameters' names instead of numbers.

    Args:
        model: whose parameters they are.
        optimizers: one, or several, whose states are joined; one that has no state makes it.
        submodules: only these; deprecated.
        options: how.

    Raises:
        RuntimeError: no optimizer.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.checkpoint.state_dict import get_optimizer_state_dict
        >>> model = torch.nn.Linear(2, 1)
        >>> list(get_optimizer_state_dict(model, torch.optim.Adam(model.parameters()))["state"])
        ['weight', 'bias']
    """
    return _optim_state(_Names(model, _needed(_optimizers(optimizers)), options, submodules))


def set_optimizer_state_dict(
    model: Module, optimizers: Optimizer | Iterable[Optimizer], optim_state_dict: dict[str, Any], *,
    options: StateDictOptions | None = None,
) -> None:  # fmt: skip
    """Give optimizers a state of ``get_optimizer_state_dict``.

    Args:
        model: whose parameters they are.
        optimizers: one, or several.
        optim_state_dict: the state.
        options: how.

    Raises:
        RuntimeError: no optimizer, or a parameter's state is missing.
    """
    _load_optim(_Names(model, _needed(_optimizers(optimizers)), options), optim_state_dict)


def get_state_dict(
    model: Module, optimizers: Optimizer | Iterable[Optimizer], *, submodules: set[Module] | None = None,
    options: StateDictOptions | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """The states of a model and of its optimizers; arguments as for the two functions that give one."""
    names = _Names(model, _optimizers(optimizers), options, submodules)
    return _model_state(names), _optim_state(names) if names.optimizers else {}


def set_state_dict(
    model: Module, optimizers: Optimizer | Iterable[Optimizer], *, model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any], options: StateDictOptions | None = None,
) -> Any:  # fmt: skip
    """Give a model and its optimizers states of ``get_state_dict``.

    Args:
        model: the model.
        optimizers: one, or several.
        model_state_dict, optim_state_dict: the states; an empty one of the model leaves it as it is.
        options: how.

    Returns:
        The missing and the unexpected names of the model.

    Raises:
        RuntimeError: a state does not fit.
    """
    names = _Names(model, _optimizers(optimizers), options)
    _load_optim(names, optim_state_dict)
    return _load_model(names, _flat_model_state(model, model_state_dict)) if model_state_dict else None


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict", "set_model_state_dict",
    "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip
