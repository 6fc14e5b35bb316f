"""Owns the one traversal of a tree of modules, and the methods of ``Module`` that derive from it.

May import Parameter; walks live, so a tree that changes under a walk is seen as torch would see it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..._tensor.tensor import Tensor
from ..parameter import Parameter


def walk(
    root,
    memo: set | None = None,
    prefix: str = "",
    remove_duplicate: bool = True,
    slot: str | None = None,
    recurse: bool = True,
) -> Iterator[tuple[str, Any]]:
    """Every module below ``root`` with its path, parents first, in order of registration; or their tensors.

    Lazy: a module's children are looked up after the module itself has been yielded.

    Args:
        root: where to begin; it comes first.
        memo: modules not to visit (again).
        prefix: the path of ``root``.
        remove_duplicate: give a module, or a tensor, that has two paths once.
        slot: give what the modules hold in this slot instead of the modules.
        recurse: go below ``root``.
    """
    memo = set() if memo is None else memo
    seen: set[int] = set()
    stack: list = []
    base, children = "", iter(((prefix, root),))
    while True:
        for name, module in children:
            if module is None or module in memo:
                continue
            if remove_duplicate:
                memo.add(module)
            path = base + name
            if slot is None:
                yield path, module
            elif found := getattr(module, slot):
                dotted = path + "." if path else ""
                for key, value in found.items():
                    if value is not None and (mark := id(value)) not in seen:
                        if remove_duplicate:
                            seen.add(mark)
                        yield dotted + key, value
            if not recurse:
                return
            below = module._modules
            if below:
                stack.append((base, children))
                base, children = path + "." if path else "", iter(below.items())
                break
        else:
            if not stack:
                return
            base, children = stack.pop()


def members(root, slot: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
    """Every tensor in one slot of the modules below ``root``, with its path."""
    return walk(root, None, prefix, remove_duplicate, slot, recurse)


def _parameters_below(root) -> Iterator[Parameter]:
    """The parameters, without their paths; one that has several comes as often."""
    for _, module in walk(root):
        for parameter in module._parameters.values():
            if parameter is not None:
                yield parameter


class Traversal:
    """The part of ``Module`` that walks over the modules, parameters and buffers below it."""

    _modules: dict
    _parameters: dict
    _buffers: dict
    training: bool

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Every module below this one with its path, itself first.

        Args:
            memo: modules not to visit (again).
            prefix: the path of this one.
            remove_duplicate: give a module that has two paths once.

        Example:
            >>> from rushlight import nn
            >>> [name for name, _ in nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity())).named_modules()]
            ['', '0', '1', '1.0']
        """
        return walk(self, memo, prefix, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """Every module below this one, itself first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """The modules directly below this one, each once, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """The modules directly below this one, each once."""
        for _, module in self.named_children():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their paths.

        Args:
            prefix: the path of this module.
            recurse: those of the modules below it too.
            remove_duplicate: give a parameter that has two paths once.

        Example:
            >>> from rushlight import nn
            >>> for name, parameter in nn.Linear(2, 3).named_parameters():
            ...     print(name, parameter.shape)
            weight torch.Size([3, 2])
            bias torch.Size([3])
        """
        return members(self, "_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; what an optimizer takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their paths; arguments as for ``named_parameters``."""
        return members(self, "_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # -- by path ------------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Any:
        """The module at a path such as ``"layer1.0.conv1"``; this one for ``""``.

        Raises:
            AttributeError: there is none.
        """
        module = self
        for name in target.split(".") if target else ():
            module = _member(module, name)
            if not isinstance(module, Traversal):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module, strict: bool = False) -> None:
        """Put a module at a path.

        Args:
            target: the path; its parent exists.
            module: what to put there.
            strict: only replace what is there.

        Raises:
            ValueError: an empty path, or no module.
            AttributeError: the parent does not exist, or what is there is no module.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Traversal):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if (strict or hasattr(parent, name)) and not isinstance(_member(parent, name), Traversal):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path.

        Raises:
            AttributeError: there is none.
        """
        path, _, name = target.rpartition(".")
        parameter = _member(self.get_submodule(path), name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path.

        Raises:
            AttributeError: there is none.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _member(module, name)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer

    # -- over the whole tree ------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Any], None]):
        """Call ``fn`` on every module below this one and on itself, children first.

        Args:
            fn: for example one that initialises weights.

        Returns:
            this module.
        """
        children = self._modules
        if children:
            for module in dict.fromkeys(children.values()):  # each once
                if module is not None:
                    module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True):
        """Put this module and all below it into training mode (or evaluation mode).

        Raises:
            ValueError: ``mode`` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        children = self._modules
        if children:
            for module in dict.fromkeys(children.values()):  # each once
                if module is not None:
                    module.train(mode)
        return self

    def eval(self):
        """Put this module and all below it into evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Switch gradients on or off for all parameters."""
        for parameter in self.parameters():
            if parameter._requires_grad is not requires_grad:
                parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Args:
            set_to_none: drop them; otherwise fill them with zeros.
        """
        if getattr(self, "_is_replica", False):
            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The parameters are "
                "copied (in a differentiable manner) from the original module.",
                stacklevel=2,
            )
        own = _is_own(self.parameters, Traversal.parameters) and _is_own(
            self.named_parameters, Traversal.named_parameters
        )
        for parameter in _parameters_below(self) if own else self.parameters():
            if set_to_none:
                if parameter._grad is not None:
                    parameter._grad = None
                continue
            grad = parameter.grad
            if grad is not None:
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                grad.zero_()


def _is_own(method, function) -> bool:
    """Whether neither a subclass nor the module itself puts something else in place of a method."""
    return getattr(method, "__func__", None) is function


def _member(module, name: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)
