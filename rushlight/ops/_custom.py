"""Owns the operators that programs define themselves, and the names under which ``torch.ops`` offers them.

Imports the standard library and _errors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any


class CustomOperator:
    """One operator of a program: its name, what computes it where, and how gradients pass through it.

    ``call`` is how it runs; ``library`` sets it, because gradients are a matter of the layers above.
    """

    def __init__(self, namespace: str, name: str):
        self.namespace = namespace
        self.name = name
        self.schema: str | None = None
        self.kernels: dict[str, Callable] = {}
        self.fake: Callable | None = None
        self.backward: Callable | None = None
        self.setup_context: Callable | None = None
        self.composite = False
        self.mutates = False
        self.function: Any = None
        # One of our own, which brings its derivative along; what a package registers for it besides is not needed.
        self.fixed = False

    @property
    def qualname(self) -> str:
        """``namespace::name``."""
        return f"{self.namespace}::{self.name}"


class OpOverload:
    """An operator as ``torch.ops.namespace.name`` gives it; its only overload is ``default``."""

    def __init__(self, operator: CustomOperator, call: Callable):
        self._operator = operator
        self._call = call
        self.__name__ = operator.name
        self.__module__ = f"torch.ops.{operator.namespace}"

    @property
    def default(self) -> OpOverload:
        """The overload without a name."""
        return self

    def overloads(self) -> list[str]:
        """The names of its overloads."""
        return ["default"]

    def name(self) -> str:
        """``namespace::name``."""
        return self._operator.qualname

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self._operator, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self._operator.namespace}.{self._operator.name}', overload='default')>"


class Namespace:
    """The operators that a program defined under one name: ``torch.ops.name``."""

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name: str) -> OpOverload:
        operator = operators.get(f"{self.__dict__['name']}::{name}")
        if operator is None or operator.schema is None:
            raise AttributeError(
                f"'_OpNamespace' '{self.name}' object has no attribute '{name}': expected an operator that "
                "torch.library has defined in this process; operators compiled for PyTorch are not loaded",
                name=name,
                obj=self,
            )
        found = OpOverload(operator, caller[0])
        self.__dict__[name] = found
        return found

    def __repr__(self) -> str:
        return f"<module 'torch.ops.{self.name}'>"


operators: dict[str, CustomOperator] = {}
namespaces: dict[str, Namespace] = {}
caller: list[Callable] = []  # how operators run; torch.library puts it here


def find(qualname: str) -> CustomOperator:
    """The operator of a name, made if it is new.

    Raises:
        ValueError: not of the form ``namespace::name``.
    """
    namespace, mark, name = qualname.partition("::")
    if not mark or not namespace or not name:
        raise ValueError(
            f"Expected an operator's name of the form {{namespace}}::{{name}}, received '{qualname}'. "
            'Put a namespace before it, such as "mylib::' + qualname.strip(":") + '".'
        )
    name = name.partition(".")[0]
    if qualname not in operators:
        namespaces.setdefault(namespace, Namespace(namespace))
        operators[f"{namespace}::{name}"] = operators.get(f"{namespace}::{name}") or CustomOperator(namespace, name)
    return operators[f"{namespace}::{name}"]


def load_library(path: Any) -> None:
    """Refused: such a file holds operators compiled for PyTorch's C++ interface; torchvision's are offered anyway.

    Args:
        path: where the file is.

    Raises:
        OSError: for every other file, as PyTorch does for a library it cannot load.
    """
    parts = PurePath(path).parts
    if len(parts) > 1 and parts[-2] == "torchvision" and parts[-1].startswith("_C"):
        return  # rushlight has these operators itself: ops/vision.py
    raise OSError(
        f"Could not load this library: {path}: expected operators written in Python (torch.library.custom_op), "
        "received code compiled for PyTorch's C++ interface, which rushlight does not have"
    )
