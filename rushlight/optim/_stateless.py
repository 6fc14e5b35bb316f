"""Owns ``swap_in_optimizer_params_and_state``: an optimizer that works on other parameters and state for a while.

May import this folder's base class.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any

from .optimizer import Optimizer

_NAME = "swap_in_optimizer_params_and_state"


def _groups(optimizer: Optimizer, given: Any) -> list:
    if not isinstance(given, dict):
        raise RuntimeError(f"{_NAME} requires a state_dict of an optimizer, received {type(given).__name__}")
    if not isinstance(given.get("state"), dict):
        raise RuntimeError(f"{_NAME} requires a state_dict whose 'state' is a dictionary. Pass optimizer.state_dict().")
    groups = given.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(optimizer.param_groups):
        raise RuntimeError(
            f"{_NAME} requires as many 'param_groups' as the optimizer has, {len(optimizer.param_groups)}. "
            "Pass optimizer.state_dict()."
        )
    for index, (live, group) in enumerate(zip(optimizer.param_groups, groups)):
        numbers = group.get("params") if isinstance(group, dict) else None
        if not isinstance(numbers, list) or not all(isinstance(n, int) for n in numbers):
            raise RuntimeError(f"{_NAME} requires group {index} to number its params. Pass optimizer.state_dict().")
        if len(numbers) != len(live["params"]):
            raise RuntimeError(
                f"param group {index} of the state has {len(numbers)} params, the optimizer's has {len(live['params'])}"
            )
        if set(group) != set(live):
            only = [sorted(set(a) - set(b)) for a, b in ((group, live), (live, group))]
            raise RuntimeError(
                f"{_NAME} requires the keys of group {index} to be those of the optimizer's group. Only in the state: "
                f"{only[0]}; only in the optimizer: {only[1]}."
            )
    return groups


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """Let an optimizer work on other parameters and another state inside a block.

    Args:
        optimizer: has been stepped, or has loaded a state.
        swapin_parameters: name to tensor, in the order of the optimizer's parameters.
        swapin_optim_state: what ``state_dict`` gives; its tensors are written to in place.

    Raises:
        RuntimeError: the optimizer has no state yet, or groups, numbers or parameters do not fit.

    Example:
        >>> import rushlight as torch
        >>> a, b = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
        >>> made = torch.optim.SGD([a], lr=0.5, momentum=0.9)
        >>> a.grad, b.grad = torch.ones(1), torch.ones(1)
        >>> made.step()
        >>> with torch.optim.swap_in_optimizer_params_and_state(made, {"b": b}, made.state_dict()):
        ...     made.step()
        >>> a.item(), round(b.item(), 2)
        (0.5, -0.95)
    """
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires an optimizer that has state. Step it once, or load a state.")
    groups = _groups(optimizer, swapin_optim_state)
    supply = list(swapin_parameters.values())
    numbers = [n for group in groups for n in group["params"]]
    if len(numbers) > len(supply):
        raise RuntimeError(
            f"{_NAME} requires {len(numbers)} parameters in the optimizer's order, received {len(supply)}"
        )
    extra = [n for n in swapin_optim_state["state"] if n not in set(numbers)]
    if extra:
        raise RuntimeError(f"{_NAME}: the state has entries {extra!r} of parameters that are in no group")
    kept_state, kept = optimizer.state, [dict(group) for group in optimizer.param_groups]
    state: defaultdict = defaultdict(dict)
    parameters = iter(supply)
    try:
        for live, group in zip(optimizer.param_groups, groups):
            live.update({k: v for k, v in group.items() if k != "params"})
            live["params"] = [next(parameters) for _ in group["params"]]
            for parameter, number in zip(live["params"], group["params"]):
                state[parameter] = dict(swapin_optim_state["state"].get(number, {}))
        optimizer.state = state
        yield
    finally:
        for live, before in zip(optimizer.param_groups, kept):
            live.clear()
            live.update(before)
        optimizer.state = kept_state


__all__ = ["swap_in_optimizer_params_and_state"]
