"""Owns modules as pure functions: calling one with other parameters and buffers, and stacking those of several.

May import the tensor cell and the operators; a module is anything that keeps ``_parameters``, ``_buffers`` and
``_modules`` in dicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .._tensor.tensor import Tensor
from ..ops.join import stack


def _named_tensors(module: Any) -> dict[str, Tensor]:
    """All parameters and buffers by every name that they have."""
    named = dict(module.named_parameters(remove_duplicate=False))
    named.update(module.named_buffers(remove_duplicate=False))
    return named


def _with_tied(module: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given tensors under all names of the tensors that they stand for.

    Raises:
        ValueError: different values for names of one tensor.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in _named_tensors(module).items():
        names.setdefault(id(tensor), []).append(name)
    out = dict(given)
    for group in names.values():
        chosen = [name for name in group if name in given]
        if len(group) < 2 or not chosen:
            continue
        if len({id(given[name]) for name in chosen}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(group)}, which are tied. Consider using "
                "tie_weights=False"
            )
        out.update((name, given[chosen[0]]) for name in group)
    return out


def _owner(module: Any, path: str) -> tuple[Any, str]:
    """The module that holds a tensor, and the tensor's name there.

    Raises:
        AttributeError: there is no such module.
        TypeError: something on the way is no module.
    """
    *above, name = path.split(".")
    for step in above:
        if not hasattr(module, step):
            raise AttributeError(f"{module._get_name()} has no attribute `{step}`")
        module = getattr(module, step)
        if not hasattr(module, "_parameters"):
            raise TypeError(f"submodule `{step}`: {module} is not an instance of torch.nn.Module")
    return module, name


_MISSING: Any = object()


def _swap(owner: Any, name: str, value: Any) -> Any:
    """Put something in the place of a tensor, and give what was there; either may be missing.

    Raises:
        TypeError: what is there is no tensor.
    """
    for table in (owner._parameters, owner._buffers):
        if name in table:
            before, table[name] = table[name], value
            return before
    before = getattr(owner, name, _MISSING)
    if before is not _MISSING and not isinstance(before, Tensor):
        raise TypeError(f"attribute `{name}`: {before} is not an instance of torch.Tensor")
    if value is not _MISSING:
        setattr(owner, name, value)
    elif before is not _MISSING:
        delattr(owner, name)
    return before


def _check_keys(module: Any, given: Mapping[str, Any]) -> None:
    expected = _named_tensors(module)
    unexpected = [key for key in given if key not in expected]
    missing = [key for key in expected if key not in given]
    messages = []
    if unexpected:
        messages.append(f"Unexpected key(s): {', '.join(map(repr, unexpected))}.")
    if missing:
        messages.append(f"Missing key(s): {', '.join(map(repr, missing))}.")
    if messages:
        raise RuntimeError(
            "Error(s) in reparametrizing for {}:\n\t{}".format(module._get_name(), "\n\t".join(messages))
        )


@contextmanager
def reparametrized(
    module: Any, tensors: dict[str, Any], tie_weights: bool = False, strict: bool = False
) -> Iterator[None]:  # fmt: skip
    """Put tensors in the places of a module's own for the length of a block.

    Args:
        module: the module.
        tensors: by name; afterwards it holds what the block left in those places.
        tie_weights: a tensor that has several names in the module is replaced under all of them.
        strict: every name must be given, and no other.

    Raises:
        RuntimeError: names that are missing or unknown, where ``strict``.
        ValueError: different values for one tied tensor.
    """
    given = _with_tied(module, tensors) if tie_weights else dict(tensors)
    if strict:
        _check_keys(module, given)
    before: list[tuple[str, Any, str, Any]] = []
    try:
        for path, value in given.items():
            owner, name = _owner(module, path)
            before.append((path, owner, name, _swap(owner, name, value)))
        yield
    finally:
        for path, owner, name, value in reversed(before):
            left = _swap(owner, name, value)
            if path in tensors and left is not _MISSING:
                tensors[path] = left


def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict[str, Any] | None = None, *,
    tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call a module with other parameters and buffers than its own.

    Args:
        module: the module.
        parameter_and_buffer_dicts: tensors by name, or several such dicts with different names.
        args: one argument, or a tuple of them.
        kwargs: keyword arguments.
        tie_weights: a tensor that has several names in the module is replaced under all of them.
        strict: every name must be given, and no other.

    Raises:
        ValueError: a name given twice, or something else than dicts.
        RuntimeError: names that are missing or unknown, where ``strict``.

    Example:
        >>> import rushlight as torch
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> torch.func.functional_call(layer, {"weight": torch.ones(1, 2)}, torch.tensor([1.0, 2.0]))
        tensor([3.])
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        tensors = parameter_and_buffer_dicts
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        if not all(isinstance(d, dict) for d in parameter_and_buffer_dicts):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        keys = [key for d in parameter_and_buffer_dicts for key in d]
        repeated = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
        if repeated:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        tensors = {key: value for d in parameter_and_buffer_dicts for key, value in d.items()}
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with reparametrized(module, tensors, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one class, stacked: an ensemble for ``vmap``.

    Returns:
        tuple: parameters and buffers by name, each with a first dimension for the modules.

    Raises:
        RuntimeError: no modules, different classes, or different training modes.

    Example:
        >>> import rushlight as torch
        >>> params, buffers = torch.func.stack_module_state([torch.nn.Linear(2, 3) for _ in range(4)])
        >>> params["weight"].shape
        torch.Size([4, 3, 2])
    """
    if len(models) == 0:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or not any(m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = {
        name: _stacked(tuple(dict(m.named_parameters())[name] for m in models))
        for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: _stacked(tuple(dict(m.named_buffers())[name] for m in models)) for name, _ in models[0].named_buffers()
    }
    return params, buffers


def _stacked(tensors: tuple[Tensor, ...]) -> Tensor:
    """One leaf of all tensors.

    Raises:
        RuntimeError: only some of them require a gradient.
    """
    wanted = [t.requires_grad for t in tensors]
    if any(wanted) and not all(wanted):
        raise RuntimeError(
            "Expected params in each model to all have the same .requires_grad; set it alike before stacking them."
        )
    return stack([t.detach() for t in tensors]).requires_grad_(all(wanted))
