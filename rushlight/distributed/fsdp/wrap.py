"""Owns the policies that choose submodules to wrap, and the walk that wraps them with whatever is given.

May import nn and _errors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..._errors import missing_name, not_supported
from ...nn import Module, ModuleDict, ModuleList, MultiheadAttention


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """Wrap every submodule."""
    return True


def lambda_auto_wrap_policy(module: Module, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable) -> bool:
    """Wrap the submodules that a function says yes to.

    Args:
        module: which submodule.
        recurse: whether the question is to look inside it (always), or to wrap it.
        nonwrapped_numel: elements of its parameters that nothing wraps yet.
        lambda_fn: the function.
    """
    return recurse or lambda_fn(module)


def _module_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, module_classes: Iterable[type[Module]]
) -> bool:
    return recurse or isinstance(module, tuple(module_classes))


def transformer_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type[Module]]
) -> bool:
    """Wrap the submodules of some classes.

    Args:
        module: which submodule.
        recurse: whether the question is to look inside it (always), or to wrap it.
        nonwrapped_numel: elements of its parameters that nothing wraps yet.
        transformer_layer_cls: the classes.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.fsdp.wrap import transformer_auto_wrap_policy
        >>> transformer_auto_wrap_policy(torch.nn.ReLU(), False, 0, {torch.nn.Linear})
        False
    """
    return _module_wrap_policy(module, recurse, nonwrapped_numel, transformer_layer_cls)


def _or_policy(module: Module, recurse: bool, nonwrapped_numel: int, policies: Iterable[Callable]) -> bool:
    return any(policy(module=module, recurse=recurse, nonwrapped_numel=nonwrapped_numel) for policy in policies)


def size_based_auto_wrap_policy(
    module: Module, recurse: bool, nonwrapped_numel: int, min_num_params: int = int(1e8),
    force_leaf_modules: set[type[Module]] | None = None, exclude_wrap_modules: set[type[Module]] | None = None,
) -> bool:  # fmt: skip
    """Wrap submodules with enough parameters that nothing wraps yet.

    Args:
        module: which submodule.
        recurse: whether the question is to look inside it, or to wrap it.
        nonwrapped_numel: elements of its parameters that nothing wraps yet.
        min_num_params: how many are enough.
        force_leaf_modules: classes not to look inside; default: attention.
        exclude_wrap_modules: classes not to wrap; default: lists and dicts of modules.
    """
    policy: Any = size_based_auto_wrap_policy
    if recurse:
        spared = policy.FORCE_LEAF_MODULES if force_leaf_modules is None else force_leaf_modules
    else:
        spared = policy.EXCLUDE_WRAP_MODULES if exclude_wrap_modules is None else exclude_wrap_modules
    return nonwrapped_numel >= min_num_params and not isinstance(module, tuple(spared))


size_based_auto_wrap_policy.EXCLUDE_WRAP_MODULES = {ModuleList, ModuleDict}  # type: ignore[attr-defined]
size_based_auto_wrap_policy.FORCE_LEAF_MODULES = {MultiheadAttention}  # type: ignore[attr-defined]


class _Policy:
    """A policy that looks at a whole model at once."""

    def _run_policy(
        self, root_module: Module, ignored_modules: set[Module], root_kwargs: dict[str, Any]
    ) -> dict[Module, dict[str, Any]]:
        raise NotImplementedError("expected a policy with a method _run_policy; use ModuleWrapPolicy or CustomPolicy")


class ModuleWrapPolicy(_Policy):
    """Wrap the submodules of some classes.

    Args:
        module_classes: the classes.

    Example:
        >>> import rushlight as torch
        >>> policy = torch.distributed.fsdp.wrap.ModuleWrapPolicy([torch.nn.Linear])
        >>> policy(torch.nn.Linear(1, 1), recurse=False)
        True
    """

    def __init__(self, module_classes: Iterable[type[Module]]):
        self._module_classes = set(module_classes)
        self._module_classes_str = str(self._module_classes)

    def _run_policy(
        self, root_module: Module, ignored_modules: set[Module], root_kwargs: dict[str, Any]
    ) -> dict[Module, dict[str, Any]]:
        kinds = tuple(self._module_classes)
        return {
            module: dict(root_kwargs)
            for module in root_module.modules()
            if module not in ignored_modules and isinstance(module, kinds)
        }

    def __call__(self, module: Module, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return _module_wrap_policy(module, recurse, -1, self._module_classes)

    def __repr__(self) -> str:
        return super().__repr__() + f"({self._module_classes_str})"


class CustomPolicy(_Policy):
    """Wrap the submodules that a function says yes to.

    Args:
        lambda_fn: gives False, True, or the options for the wrapper of that submodule.
    """

    def __init__(self, lambda_fn: Callable[[Module], bool | dict[str, Any]]):
        self._lambda_fn = lambda_fn

    def _run_policy(
        self, root_module: Module, ignored_modules: set[Module], root_kwargs: dict[str, Any]
    ) -> dict[Module, dict[str, Any]]:
        chosen = {}
        for module in root_module.modules():
            if module in ignored_modules:
                continue
            answer = self._lambda_fn(module)
            if not isinstance(answer, dict | bool):
                raise ValueError(
                    "The lambda_fn passed to CustomPolicy should return False/True or a kwarg dict, but it returned "
                    f"{answer}"
                )
            if answer or answer == {}:
                chosen[module] = {**root_kwargs, **(answer if isinstance(answer, dict) else {})}
        return chosen


class _ConfigAutoWrap:
    """What ``wrap`` does at present: nothing, or wrap."""

    wrapper_cls: Callable | None = None
    kwargs: dict[str, Any] = {}


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Any, **wrapper_kwargs: Any) -> Iterator[None]:
    """A block in which ``wrap`` wraps.

    Args:
        wrapper_cls: with what.
        wrapper_kwargs: its options.

    Raises:
        NotImplementedError: inside another such block.
    """
    if _ConfigAutoWrap.wrapper_cls is not None:
        raise not_supported("enable_wrap() inside another one", "Leave the outer block first.")
    _ConfigAutoWrap.wrapper_cls, _ConfigAutoWrap.kwargs = wrapper_cls, wrapper_kwargs
    try:
        yield
    finally:
        _ConfigAutoWrap.wrapper_cls, _ConfigAutoWrap.kwargs = None, {}


def wrap(module: Module, **wrap_overrides: Any) -> Module:
    """The module wrapped, inside a block of ``enable_wrap``; as it is elsewhere.

    Args:
        module: the module.
        wrap_overrides: options that count more than those of the block.
    """
    if _ConfigAutoWrap.wrapper_cls is None:
        return module
    return _ConfigAutoWrap.wrapper_cls(module, **{**_ConfigAutoWrap.kwargs, **wrap_overrides})


def _recursive_wrap(
    module: Module, auto_wrap_policy: Callable, wrapper_cls: Callable, ignored_modules: set[Module],
    ignored_params: set[Any], only_wrap_children: bool = False, **kwargs: Any,
) -> tuple[Module, int]:  # fmt: skip
    """Wrap what a policy chooses, innermost first; gives the module and how many elements are wrapped now.

    Raises:
        AssertionError: something is wrapped already.
    """
    if isinstance(wrapper_cls, type):
        for child in module.modules():
            if child not in ignored_modules and isinstance(child, wrapper_cls):
                raise AssertionError(f"Child module {child} is already wrapped by {wrapper_cls}")
    count = sum(param.numel() for param in module.parameters() if param not in ignored_params)
    if not auto_wrap_policy(module=module, recurse=True, nonwrapped_numel=count):
        return module, 0
    wrapped = 0
    for name, child in module.named_children():
        if child not in ignored_modules:
            new, inside = _recursive_wrap(
                child, auto_wrap_policy, wrapper_cls, ignored_modules, ignored_params, **kwargs
            )
            setattr(module, name, new)
            wrapped += inside
    if only_wrap_children or not auto_wrap_policy(module=module, recurse=False, nonwrapped_numel=count - wrapped):
        return module, wrapped
    return wrapper_cls(module, **{**kwargs, **getattr(module, "_wrap_overrides", {})}), count


def _wrap_chosen(root: Module, chosen: dict[Module, dict[str, Any]], wrapper: Callable) -> None:
    """Wrap the modules that a policy chose inside of ``root``, innermost first."""
    seen = {root}

    def walk(module: Module) -> None:
        for name, child in module.named_children():
            if child not in seen:
                seen.add(child)
                walk(child)
                if child in chosen:
                    setattr(module, name, wrapper(child, **chosen[child]))

    walk(root)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "CustomPolicy", "ModuleWrapPolicy", "always_wrap_policy", "enable_wrap", "lambda_auto_wrap_policy",
    "size_based_auto_wrap_policy", "transformer_auto_wrap_policy", "wrap",
]  # fmt: skip
