"""Owns pruning: the functions that prune parameters of modules, and undo it.

May import the pruning rules, nn.utils and the operators.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops.creation import ones_like
from ._pre_hooks import attached
from ._prune_rules import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
)
from .convert_parameters import parameters_to_vector


def identity(module: Any, name: str) -> Any:
    """Add a mask of ones to a parameter; see ``BasePruningMethod.apply``."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: float) -> Any:
    """Prune elements of a parameter at random.

    Args:
        module: whose parameter; changed in place, and returned.
        name: of the parameter.
        amount: how many (int), or what share (float).
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: float, importance_scores: Tensor | None = None) -> Any:
    """Prune the elements of a parameter that are least in size.

    Args:
        module: whose parameter; changed in place, and returned.
        name: of the parameter.
        amount: how many (int), or what share (float).
        importance_scores: what to judge by instead of the parameter.

    Example:
        >>> import rushlight as torch
        >>> layer = torch.nn.Linear(2, 2)
        >>> int(l1_unstructured(layer, "weight", 1).weight_mask.sum())
        3
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: float, dim: int) -> Any:
    """Prune whole channels of a parameter at random; see ``RandomStructured``."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Any, name: str, amount: float, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Any:
    """Prune the channels of a parameter whose norm is least; see ``LnStructured``."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Any, pruning_method: type, importance_scores: dict | None = None, **kwargs: Any
) -> None:
    """Prune several parameters at once, as if they were one.

    Args:
        parameters: pairs of a module and a name.
        pruning_method: an unstructured rule.
        importance_scores: what to judge by instead of a parameter, by pair.
        kwargs: for the rule, for example ``amount``.

    Raises:
        TypeError: arguments of the wrong kind, or a structured rule.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    pairs = list(parameters)
    judged = parameters_to_vector([scores.get((m, name), getattr(m, name)) for m, name in pairs])
    masks = [getattr(m, name + "_mask", None) for m, name in pairs]
    masks = [ones_like(getattr(m, name)) if k is None else k for (m, name), k in zip(pairs, masks)]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    container.add_pruning_method(method)
    found = container.compute_mask(judged, parameters_to_vector(masks))
    start = 0
    for module, name in pairs:
        param = getattr(module, name)
        custom_from_mask(module, name, mask=found[start : start + param.numel()].view_as(param))
        start += param.numel()


def custom_from_mask(module: Any, name: str, mask: Tensor) -> Any:
    """Prune a parameter by a given mask; see ``CustomFromMask``."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Any, name: str) -> Any:
    """Make a pruned parameter an ordinary one; what was pruned stays zero.

    Raises:
        ValueError: it is not pruned.
    """
    for key, hook in attached(module._forward_pre_hooks, BasePruningMethod):
        if hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Any) -> bool:
    """Whether a module, or one below it, is pruned."""
    return any(attached(m._forward_pre_hooks, BasePruningMethod) for m in module.modules())


__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
    "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip
