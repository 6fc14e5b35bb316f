"""Owns modules that compute their contents again in the backward pass, and the walk that puts them into a model.

May import autograd, nn, the wrap policies and _errors; ``torch.utils.checkpoint`` when a wrapper is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from functools import partial
from importlib import import_module
from typing import Any

from ...._errors import missing_name
from ....autograd.graph import save_on_cpu
from ....nn import Module
from ...fsdp.wrap import _Policy, _recursive_wrap, _wrap_chosen, lambda_auto_wrap_policy

_CHECKPOINT_WRAPPED_MODULE = "_checkpoint_wrapped_module"
_CHECKPOINT_PREFIX = _CHECKPOINT_WRAPPED_MODULE + "."


class CheckpointImpl(Enum):
    """Which form of ``torch.utils.checkpoint`` to use."""

    REENTRANT = auto()
    NO_REENTRANT = auto()


def _rename(state: dict[str, Any], old: str, new: str) -> None:
    for key in list(state):
        if key.startswith(old):
            state[new + key.removeprefix(old)] = state.pop(key)


class ActivationWrapper(Module):
    """A module around another one, which leaves no trace in the names of its parameters and its state.

    Args:
        mod: the module inside.
    """

    def __init__(self, mod: Module):
        super().__init__()
        self._checkpoint_wrapped_module = mod
        self._register_state_dict_hook(self._post_state_dict_hook)
        self.register_load_state_dict_pre_hook(self._pre_load_state_dict_hook)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._checkpoint_wrapped_module, name)

    def __getitem__(self, key: Any) -> Any:
        return self._checkpoint_wrapped_module.__getitem__(key)  # type: ignore[operator]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The parameters by name, without the wrapper's part of the names; arguments as for every module."""
        for name, param in super().named_parameters(*args, **kwargs):
            yield name.replace(_CHECKPOINT_PREFIX, ""), param

    @staticmethod
    def _post_state_dict_hook(module: Module, state_dict: dict[str, Any], prefix: str, *args: Any) -> dict[str, Any]:
        _rename(state_dict, prefix + _CHECKPOINT_PREFIX, prefix)
        return state_dict

    @staticmethod
    def _pre_load_state_dict_hook(module: Module, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        _rename(state_dict, prefix, prefix + _CHECKPOINT_PREFIX)


class CheckpointWrapper(ActivationWrapper):
    """A module whose saved arrays are dropped, and computed again in the backward pass.

    Args:
        mod: the module inside.
        checkpoint_impl: which form.
        checkpoint_fn: called instead of ``torch.utils.checkpoint.checkpoint``.
        checkpoint_fn_kwargs: options of that function.
    """

    def __init__(
        self, mod: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
        checkpoint_fn: Callable | None = None, **checkpoint_fn_kwargs: Any,
    ):  # fmt: skip
        super().__init__(mod)
        self.checkpoint_impl = checkpoint_impl
        if checkpoint_fn is None:
            # utils is a layer above this one.
            checkpoint_fn = import_module("rushlight.utils.checkpoint").checkpoint
            checkpoint_fn_kwargs["use_reentrant"] = checkpoint_impl is CheckpointImpl.REENTRANT
        assert checkpoint_fn is not None
        self.checkpoint_fn = partial(checkpoint_fn, **checkpoint_fn_kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module inside gives."""
        inner = self._checkpoint_wrapped_module
        if self.checkpoint_impl is not CheckpointImpl.REENTRANT or not kwargs:
            return self.checkpoint_fn(inner, *args, **kwargs)
        # That form takes no keywords, so they travel as positions.
        count, names = len(args), list(kwargs)

        def packed(*values: Any) -> Any:
            return inner(*values[:count], **dict(zip(names, values[count:], strict=True)))

        return self.checkpoint_fn(packed, *args, *kwargs.values())


def checkpoint_wrapper(
    module: Module, checkpoint_impl: CheckpointImpl = CheckpointImpl.NO_REENTRANT,
    checkpoint_fn: Callable | None = None, **checkpoint_fn_kwargs: Any,
) -> Module:  # fmt: skip
    """Wrap a module so that it keeps only its inputs, and computes the rest again in the backward pass.

    Args:
        module: the module; its state keeps its names.
        checkpoint_impl: which form of ``torch.utils.checkpoint``.
        checkpoint_fn: called instead of it.
        checkpoint_fn_kwargs: options of that function.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
        >>> list(checkpoint_wrapper(torch.nn.Linear(2, 1)).state_dict())
        ['weight', 'bias']
    """
    return CheckpointWrapper(module, checkpoint_impl, checkpoint_fn, **checkpoint_fn_kwargs)


class OffloadWrapper(ActivationWrapper):
    """A module whose saved arrays lie on the CPU until the backward pass.

    Args:
        mod: the module inside.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module inside gives."""
        with save_on_cpu():
            return self._checkpoint_wrapped_module(*args, **kwargs)


def offload_wrapper(module: Module) -> Module:
    """Wrap a module so that what it saves for the backward pass lies on the CPU.

    Args:
        module: the module; its state keeps its names.
    """
    return OffloadWrapper(module)


def apply_activation_checkpointing(
    model: Module, checkpoint_wrapper_fn: Callable = checkpoint_wrapper, check_fn: Callable = lambda _: True,
    auto_wrap_policy: Any = None,
) -> None:  # fmt: skip
    """Put wrappers around submodules of a model, in place; the model itself is not wrapped.

    Args:
        model: the model.
        checkpoint_wrapper_fn: makes a wrapper.
        check_fn: says which submodules.
        auto_wrap_policy: says it instead: a function or a policy of ``torch.distributed.fsdp.wrap``.

    Raises:
        ValueError: the policy is neither.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.distributed.algorithms._checkpoint import checkpoint_wrapper as wrapper
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        >>> wrapper.apply_activation_checkpointing(model, check_fn=lambda m: isinstance(m, torch.nn.Linear))
        >>> type(model[0]).__name__
        'CheckpointWrapper'
    """
    policy = partial(lambda_auto_wrap_policy, lambda_fn=check_fn) if auto_wrap_policy is None else auto_wrap_policy
    if not callable(policy):
        if not isinstance(policy, _Policy):
            raise ValueError(f"Expected {policy} to be callable or be a pre-defined wrap policy")
        _wrap_chosen(model, policy._run_policy(model, set(), {}), checkpoint_wrapper_fn)
        return
    _recursive_wrap(model, policy, checkpoint_wrapper_fn, set(), set(), only_wrap_children=True)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "ActivationWrapper", "CheckpointImpl", "CheckpointWrapper", "OffloadWrapper", "apply_activation_checkpointing",
    "checkpoint_wrapper", "offload_wrapper",
]  # fmt: skip
