"""Owns optimizer states that tell parameters apart by name: giving them, and matching them to an optimizer's order.

May import only the standard library.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any


def to_names(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state dict with numbers, as one with names.

    Raises:
        ValueError: the groups have no names.
    """
    names: dict[Any, str] = {}
    for group in state_dict["param_groups"]:
        if "param_names" not in group:
            raise ValueError(
                "state_dict(by_name=True): expected an optimizer that knows names, received one made from parameters "
                "alone. Make it with optimizer(model.named_parameters(), ...)."
            )
        names.update(zip(group["params"], group["param_names"]))
    groups = [
        {k: v for k, v in group.items() if k not in ("params", "param_names")} | {"params": list(group["param_names"])}
        for group in state_dict["param_groups"]
    ]
    return {"state": {names.get(k, k): v for k, v in state_dict["state"].items()}, "param_groups": groups}


def resolved(groups: list[dict[str, Any]], state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict with numbers in the order of ``groups``; as it is, where names do not decide.

    Args:
        groups: the optimizer's.
        state_dict: with numbers, with numbers and ``param_names``, or with names.

    Raises:
        ValueError: it has names, and the optimizer has none or others.
    """
    saved = state_dict["param_groups"]
    by_name = any(isinstance(p, str) for group in saved for p in group["params"])
    if not by_name:
        if not _same_names(groups, saved):
            return state_dict
        if [g["param_names"] for g in groups] == [g["param_names"] for g in saved]:
            return state_dict
        state_dict = to_names(dict(state_dict))
        saved = state_dict["param_groups"]
    own = [name for group in groups for name in _names(group)]
    home = {name: group for group in saved for name in group["params"]}
    _check(own, list(home))
    number = {name: i for i, name in enumerate(own)}
    out, start = [], 0
    for i, group in enumerate(groups):
        homes = {id(home[name]): home[name] for name in group["param_names"]}
        if len(homes) > 1:
            raise ValueError(
                f"loaded state dict spreads the parameters of group {i} over {len(homes)} groups: expected one, as "
                "options belong to groups. Build the optimizer with the groups of the checkpoint."
            )
        options = {k: v for k, v in next(iter(homes.values())).items() if k not in ("params", "param_names")}
        count = len(group["param_names"])
        out.append(options | {"param_names": list(group["param_names"]), "params": list(range(start, start + count))})
        start += count
    return {**state_dict, "state": {number.get(k, k): v for k, v in state_dict["state"].items()}, "param_groups": out}


def _names(group: dict[str, Any]) -> list[str]:
    if "param_names" not in group:
        raise ValueError(
            "loaded state dict tells parameters by name: expected an optimizer that knows names, received one made "
            "from parameters alone. Make it with optimizer(model.named_parameters(), ...)."
        )
    return group["param_names"]


def _same_names(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> bool:
    """Whether both sides have names, and each group of ours is one of theirs in another order."""
    if not all("param_names" in group for group in (*groups, *saved)):
        return False
    return sorted(sorted(g["param_names"]) for g in groups) == sorted(sorted(g["param_names"]) for g in saved)


def _check(own: list[str], given: list[str]) -> None:
    missing = [name for name in own if name not in set(given)]
    unexpected = [name for name in given if name not in set(own)]
    if not missing and not unexpected:
        return
    lines = []
    for what, names, others in (("lacks", missing, unexpected or given), ("has besides", unexpected, missing or own)):
        for name in names[:8]:
            close = difflib.get_close_matches(name, others, 1)
            lines.append(f"{what} '{name}'" + (f" (nearest: '{close[0]}')" if close else ""))
    more = len(missing) + len(unexpected) - len(lines)
    raise ValueError(
        f"loaded state dict has other parameters than the optimizer: it {'; '.join(lines)}"
        f"{f'; and {more} more' if more > 0 else ''}. Rename the keys of its 'state' and of 'params' in its "
        "'param_groups'."
    )
