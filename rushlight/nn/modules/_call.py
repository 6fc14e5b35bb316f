"""Owns calling a module: the registration of its call hooks, and the one path through them.

May import _hooks, the backward hooks and the check for unregistered modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._hooks import EVERYWHERE, Call, Hook, HookTable, RemovableHandle, everywhere
from ._backward_hooks import BackwardHooks, add_legacy_hooks
from ._unregistered import warn_unregistered

_ONE_KIND = "Cannot use both regular backward hooks and full backward hooks {}. Please use only one of them."


class HookSlot:
    """An attribute that holds a hook table, made when it is first asked for: most modules never have hooks."""

    def __init__(self, called: bool = True):
        self.called = called

    def __set_name__(self, owner, name: str) -> None:
        self.name = name

    def __get__(self, module, owner=None) -> Any:
        if module is None:
            return self
        state = module.__dict__
        table = state.get(self.name)
        if type(table) is not HookTable:
            table = state[self.name] = HookTable(table or ())
        if self.called and state.get("_hooked") is False:
            state["_hooked"] = True  # whoever asks for the table may add to it
        return table

    def __set__(self, module, table) -> None:
        module.__dict__[self.name] = HookTable(table)
        if self.called and module.__dict__.get("_hooked") is False:
            module.__dict__["_hooked"] = True

    def __delete__(self, module) -> None:
        module.__dict__.pop(self.name, None)


def _flags(slot: str, flag: str) -> property:
    """A view of one flag of the records in a table, in the form of torch's table beside the table."""

    def get(module) -> dict[int, bool]:
        table = module.__dict__.get(slot) or {}
        return {key: True for key, hook in HookTable(table).records() if getattr(hook, flag)}

    return property(get)


class Calls:
    """The part of ``Module`` that calls it and keeps the hooks around the call."""

    # True until the first call has looked for unregistered modules and found no hooks, and again when one is added.
    _hooked = True
    _is_full_backward_hook: bool | None = None
    _forward_pre_hooks = HookSlot()
    _forward_hooks = HookSlot()
    _backward_pre_hooks = HookSlot()
    _backward_hooks = HookSlot()
    _forward_pre_hooks_with_kwargs = _flags("_forward_pre_hooks", "with_kwargs")
    _forward_hooks_with_kwargs = _flags("_forward_hooks", "with_kwargs")
    _forward_hooks_always_called = _flags("_forward_hooks", "always_call")

    def forward(self, *input: Any) -> Any:
        """What the module computes; every subclass defines it.

        Raises:
            NotImplementedError: the subclass does not.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or EVERYWHERE:
            compiled = self.__dict__.get("_compiled_call_impl")
            return self._call_with_hooks(args, kwargs) if compiled is None else compiled(*args, **kwargs)
        return self.forward(*args, **kwargs)

    _call_impl = _wrapped_call_impl = __call__

    def _warn_unregistered(self) -> None:
        """Say once what stands in plain lists below this module; the optimizers ask for it too."""
        warn_unregistered(self)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the call of this module in place; names and hooks stay as they are.

        Args:
            args, kwargs: as ``rushlight.compile`` takes them after the model.
        """
        from ...compiler import compile, compiled_call

        options = compile.check(*args, **kwargs)
        self.__dict__["_compiled_call_impl"] = compiled_call(self, **options)
        self.__dict__["_hooked"] = True

    def _own(self, name: str) -> list[tuple[int, Hook]]:
        return getattr(self, name).records() if self.__dict__.get(name) else []

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        state = self.__dict__
        if "_hooked" not in state:
            self._warn_unregistered()
            state["_hooked"] = True
        before = everywhere("forward_pre") + self._own("_forward_pre_hooks")
        after = everywhere("forward") + self._own("_forward_hooks")
        grads_before = everywhere("backward_pre") + self._own("_backward_pre_hooks")
        full, legacy = everywhere("full_backward"), everywhere("backward")
        (full if self._is_full_backward_hook else legacy).extend(self._own("_backward_hooks"))
        if not (before or after or grads_before or full or legacy):
            state["_hooked"] = "_compiled_call_impl" in state
            return self.forward(*args, **kwargs)
        call, watch = Call(self, args, kwargs), None
        try:
            call.before(before)
            if full or grads_before:
                watch = BackwardHooks(self, [h.function for _, h in full], [h.function for _, h in grads_before])
                call.args = watch.enter(call.args)
            call.result = self.forward(*call.args, **call.kwargs)
            call.after(after)
            if watch is not None:
                call.result = watch.leave(call.result)
            if legacy:
                add_legacy_hooks(self, [h.function for _, h in legacy], call.args, call.result)
            return call.result
        except Exception:
            call.after(after, failed=True)
            raise

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every ``forward``; what it returns replaces the arguments.

        Args:
            hook: the function.
            prepend: run it before the hooks already there.
            with_kwargs: call ``hook(module, args, kwargs)``; it then returns both, or None.

        Returns:
            RemovableHandle: ``handle.remove()`` takes the hook out.

        Example:
            >>> import rushlight as torch
            >>> layer = torch.nn.Identity()
            >>> handle = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
            >>> layer(torch.zeros(2))
            tensor([1., 1.])
        """
        return self._forward_pre_hooks.add(Hook(hook, with_kwargs=with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every ``forward``; what it returns replaces the output.

        Args:
            hook: the function.
            prepend: run it before the hooks already there.
            with_kwargs: call ``hook(module, args, kwargs, output)``.
            always_call: run it also where the call fails.

        Returns:
            RemovableHandle: ``handle.remove()`` takes the hook out.

        Example:
            >>> import rushlight as torch
            >>> layer = torch.nn.Identity()
            >>> seen = []
            >>> with layer.register_forward_hook(lambda module, args, output: seen.append(output.shape)):
            ...     _ = layer(torch.zeros(2, 3))
            >>> seen
            [torch.Size([2, 3])]
        """
        return self._forward_hooks.add(Hook(hook, with_kwargs=with_kwargs, always_call=always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before the gradients of the module; what it returns replaces them.

        Args:
            hook: the function.
            prepend: run it before the hooks already there.

        Returns:
            RemovableHandle: ``handle.remove()`` takes the hook out.
        """
        return self._backward_pre_hooks.add(Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` once both are known; a result replaces ``grad_input``.

        Args:
            hook: the function.
            prepend: run it before the hooks already there.

        Returns:
            RemovableHandle: ``handle.remove()`` takes the hook out.

        Raises:
            RuntimeError: the module has a hook of ``register_backward_hook``.
        """
        if self._is_full_backward_hook is False:
            raise RuntimeError(_ONE_KIND.format("on a single Module"))
        self._is_full_backward_hook = True
        return self._backward_hooks.add(Hook(hook), prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` at the module's last step; prefer the full form.

        Args:
            hook: the function.

        Returns:
            RemovableHandle: ``handle.remove()`` takes the hook out.

        Raises:
            RuntimeError: the module has a hook of ``register_full_backward_hook``.
        """
        if self._is_full_backward_hook is True:
            raise RuntimeError(_ONE_KIND.format("on a single Module"))
        self._is_full_backward_hook = False
        return self._backward_hooks.add(Hook(hook))


def _register(kind: str, hook: Callable, **flags) -> RemovableHandle:
    return EVERYWHERE.add(Hook(hook, kind, **flags))


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, args)`` before every ``forward`` of every module."""
    return _register("forward_pre", hook)


def register_module_forward_hook(
    hook: Callable, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every ``forward`` of every module."""
    return _register("forward", hook, with_kwargs=with_kwargs, always_call=always_call)


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` before the gradients of every module."""
    return _register("backward_pre", hook)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` after the gradients of every module."""
    if everywhere("backward"):
        raise RuntimeError(_ONE_KIND.format("as a global Module hook"))
    return _register("full_backward", hook)


def register_module_backward_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` at the last step of every module; prefer the full form."""
    if everywhere("full_backward"):
        raise RuntimeError(_ONE_KIND.format("as a global Module hook"))
    return _register("backward", hook)


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` at every registration; what it returns is registered instead."""
    return _register("parameter", hook)


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at every registration; what it returns is registered instead."""
    return _register("buffer", hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` at every registration; what it returns is registered instead."""
    return _register("module", hook)
