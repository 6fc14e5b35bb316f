"""Owns the registry of symbolic functions: how operators would be written in ONNX, by name and version.

Imports _errors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ...._errors import missing_name

_BASE = 9  # from this version on, a function also counts for later ones; before it, for earlier ones


class _Group:
    """The symbolic functions of one operator.

    Args:
        name: ``domain::name``.
    """

    def __init__(self, name: str):
        self._name = name
        self._given: dict[int, Callable] = {}
        self._custom: dict[int, Callable] = {}

    def get(self, opset: int) -> Callable | None:
        """The function that counts for a version of ONNX; None where there is none."""
        held = self._given | self._custom
        if opset >= _BASE:
            fitting = [version for version in held if version <= opset]
            return held[max(fitting)] if fitting else None
        fitting = [version for version in held if opset <= version <= _BASE]
        return held[min(fitting)] if fitting else None

    def __getitem__(self, opset: int) -> Callable:
        found = self.get(opset)
        if found is None:
            raise KeyError(opset)
        return found

    def get_min_supported(self) -> int:
        """The lowest version that has a function."""
        return min(self._given | self._custom)

    def __repr__(self) -> str:
        return f"_SymbolicFunctionGroup({self._name}, registered={self._given | self._custom})"


class SymbolicRegistry:
    """The symbolic functions of all operators.

    Example:
        >>> registry = SymbolicRegistry()
        >>> registry.register("my::twice", 9, lambda g, x: g.op("Add", x, x), custom=True)
        >>> registry.is_registered_op("my::twice", 13), registry.all_functions()
        (True, {'my::twice'})
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def register(self, name: str, opset: int, func: Callable, custom: bool = False) -> None:
        """Keep a function.

        Args:
            name: ``domain::name``.
            opset: from which version of ONNX on.
            func: the function.
            custom: it goes before one that is there already, until it is taken away.

        Raises:
            ValueError: a name without ``::``.
        """
        if "::" not in name:
            raise ValueError(f"The name must be in the form of 'domain::op', not '{name}'")
        group = self._groups.setdefault(name, _Group(name))
        (group._custom if custom else group._given)[opset] = func

    def unregister(self, name: str, opset: int) -> None:
        """Take a custom function away; warns where there is none."""
        group = self._groups.get(name)
        if group is None:
            return
        if group._custom.pop(opset, None) is None:
            warnings.warn(f"No custom function registered for '{name}' opset {opset}", stacklevel=2)

    def get_function_group(self, name: str) -> _Group | None:
        """The functions of one operator."""
        return self._groups.get(name)

    def is_registered_op(self, name: str, version: int) -> bool:
        """Whether an operator has a function that counts for a version."""
        group = self._groups.get(name)
        return group is not None and group.get(version) is not None

    def all_functions(self) -> set[str]:
        """The names of all operators that have functions."""
        return set(self._groups)


registry = SymbolicRegistry()


def onnx_symbolic(name: str, opset: Any, decorate: Any = None, custom: bool = False) -> Callable[[Any], Any]:
    """A decorator that keeps a symbolic function.

    Args:
        name: ``domain::name``.
        opset: a version of ONNX, or several.
        decorate: decorators for what is kept.
        custom: it goes before one that is there already.
    """

    def keep(function: Any) -> Any:
        kept = function
        for decorator in decorate or ():
            kept = decorator(kept)
        for version in (opset,) if isinstance(opset, int) else opset:
            registry.register(name, version, kept, custom)
        return function

    return keep


def custom_onnx_symbolic(name: str, opset: Any, decorate: Any = None) -> Callable[[Any], Any]:
    """``onnx_symbolic(..., custom=True)``."""
    return onnx_symbolic(name, opset, decorate, custom=True)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["SymbolicRegistry", "custom_onnx_symbolic", "onnx_symbolic", "registry"]
