"""Owns ``fuse_modules``: named modules of a model are replaced by one that does the work of them all.

May import nn and the table of what is fused into what.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ...nn import Identity, Module
from ...nn.utils.parametrize import type_before_parametrizations
from .fuser_method_mappings import get_fuser_method


def fuse_known_modules(mod_list: list, is_qat: bool, additional_fuser_method_mapping: dict | None = None) -> list:
    """The fused module, then an ``Identity`` for every other one; hooks at either end move along.

    Args:
        mod_list: modules that follow each other.
        is_qat: whether the result will be trained.
        additional_fuser_method_mapping: functions that fuse, by types; they go before the known ones.

    Raises:
        AssertionError: modules of such types are not fused.
    """
    types = tuple(type_before_parametrizations(m) for m in mod_list)
    fused = get_fuser_method(types, additional_fuser_method_mapping)(is_qat, *mod_list)
    for hook in mod_list[0]._forward_pre_hooks.values():
        fused.register_forward_pre_hook(hook)
    mod_list[0]._forward_pre_hooks.clear()
    for hook in mod_list[-1]._forward_hooks.values():
        fused.register_forward_hook(hook)
    mod_list[-1]._forward_hooks.clear()
    rest = [Identity() for _ in mod_list[1:]]
    for identity in rest:
        identity.training = mod_list[0].training
    return [fused, *rest]


def _fuse(
    model: Module, groups: list, is_qat: bool, inplace: bool, fuser_func: Callable, custom: dict | None
) -> Module:
    if not inplace:
        model = copy.deepcopy(model)
    more = (custom or {}).get("additional_fuser_method_mapping", {})
    for names in [groups] if all(isinstance(n, str) for n in groups) else groups:
        fused = fuser_func([model.get_submodule(n) for n in names], is_qat, more)
        for name, module in zip(names, fused):
            home, _, last = name.rpartition(".")
            setattr(model.get_submodule(home), last, module)
    return model


def fuse_modules(
    model: Module, modules_to_fuse: list, inplace: bool = False, fuser_func: Callable = fuse_known_modules,
    fuse_custom_config_dict: dict | None = None,
) -> Any:  # fmt: skip
    """Replace modules that follow each other by one, for evaluation: batch normalisation goes into the weights.

    Args:
        model: holds them.
        modules_to_fuse: names of modules, or lists of names.
        inplace: change ``model`` instead of a copy.
        fuser_func: fuses a list of modules.
        fuse_custom_config_dict: ``{"additional_fuser_method_mapping": {types: function}}``.

    Raises:
        AssertionError: the modules are not fused, or do not fit.
        AttributeError: a name is not there.

    Example:
        >>> from rushlight import nn
        >>> fuse_modules(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), ["0", "1"])
        Sequential(
          (0): LinearReLU(
            (0): Linear(in_features=2, out_features=3, bias=True)
            (1): ReLU()
          )
          (1): Identity()
        )
    """
    return _fuse(model, modules_to_fuse, False, inplace, fuser_func, fuse_custom_config_dict)


def fuse_modules_qat(
    model: Module, modules_to_fuse: list, inplace: bool = False, fuser_func: Callable = fuse_known_modules,
    fuse_custom_config_dict: dict | None = None,
) -> Any:  # fmt: skip
    """Replace modules that follow each other by one, for training; otherwise as ``fuse_modules``."""
    return _fuse(model, modules_to_fuse, True, inplace, fuser_func, fuse_custom_config_dict)


__all__ = ["fuse_modules", "fuse_modules_qat"]
