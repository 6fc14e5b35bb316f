"""Owns ``torch.jit`` as far as Python goes without TorchScript: decorators that mark, questions, and clear refusals.

May import _errors, the tape's modes, futures and nn.
"""

import builtins
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from .._errors import missing_name, not_supported
from ..futures import Future
from ..nn import Module
from . import annotations as annotations

_T = TypeVar("_T")

_INSTEAD = (
    "There is no TorchScript: save state_dict() with torch.save, build the module from its Python class, and call "
    "torch.compile(module) for speed."
)


class Error(Exception):
    """What TorchScript raises; kept so that ``except torch.jit.Error`` can be written."""


class ScriptModule(Module):
    """The base of scripted modules: here an ordinary module, so that ``isinstance`` may be asked.

    Example:
        >>> import rushlight as torch
        >>> isinstance(torch.jit.script(torch.nn.ReLU()), torch.jit.ScriptModule)
        False
    """


class ScriptFunction:
    """What ``script`` would make of a function; nothing is one, so ``isinstance`` says no."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.jit.ScriptFunction", _INSTEAD)


def script(
    obj: _T, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None, **options: Any
) -> _T:
    """Give the function, class or module back: Python itself runs it, and ``torch.compile`` makes it fast.

    Scripting never changes what a program computes, so a program that scripts computes the same here. ``save`` and
    the other ways to keep a scripted program are refused where they are asked for.

    Args:
        obj: a function, a class or a module.

    Raises:
        TypeError: another option than torch's.

    Example:
        >>> import rushlight as torch
        >>> @torch.jit.script
        ... def double(x):
        ...     return x + x
        >>> double(torch.ones(2))
        tensor([2., 2.])
    """
    if options:
        raise TypeError(f"script() got an unexpected keyword argument {next(iter(options))!r}")
    return obj


def script_if_tracing(fn: _T) -> _T:
    """Give the function back: nothing is traced into TorchScript, so nothing needs scripting."""
    return fn


def script_method(fn: _T) -> _T:
    """Give the method back; see ``script``."""
    return fn


def interface(obj: _T) -> _T:
    """Give the class back: Python needs no declaration of what a module offers."""
    return obj


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Mark a function for Python alone, as all are here: gives it back; with arguments, a decorator that does.

    Example:
        >>> import rushlight as torch
        >>> @torch.jit.ignore
        ... def f(x): return x
        >>> @torch.jit.ignore(drop=True)
        ... def g(x): return x
        >>> f(1), g(2)
        (1, 2)
    """
    return drop if callable(drop) else lambda fn: fn


def unused(fn: _T) -> _T:
    """Give the function back: TorchScript would leave it out, Python may call it."""
    return fn


def export(fn: _T) -> _T:
    """Give the method back: TorchScript would keep it, and Python has it anyway."""
    return fn


def is_scripting() -> bool:
    """Whether TorchScript is compiling the code that asks: never."""
    return False


def is_tracing() -> bool:
    """Whether ``torch.jit.trace`` is running: never; ``torch.compiler.is_compiling`` asks about compilation."""
    return False


def annotate(the_type: Any, the_value: _T) -> _T:
    """Give the value back; the type is for TorchScript's reader."""
    return the_value


def Attribute(value: _T, type: Any) -> _T:
    """Give the value back; the type is for TorchScript's reader."""
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's ``isinstance``, for types such as ``list[int]`` too: those look at what a container holds.

    Example:
        >>> import rushlight as torch
        >>> torch.jit.isinstance([1, 2], list[int]), torch.jit.isinstance([1, 2], list[str])
        (True, False)
    """
    return _is(obj, target_type)


def _is(obj: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is None:
        return obj is None
    if builtins.isinstance(kind, tuple):
        return any(_is(obj, one) for one in kind)
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        return builtins.isinstance(obj, kind)
    if not builtins.isinstance(origin, type) or origin.__name__ == "UnionType":
        return any(_is(obj, one) for one in of)
    if not builtins.isinstance(obj, origin):
        return False
    if issubclass(origin, dict):
        return all(_is(key, of[0]) and _is(value, of[1]) for key, value in obj.items())
    if issubclass(origin, tuple) and not (len(of) == 2 and of[1] is ...):
        return len(obj) == len(of) and all(_is(value, one) for value, one in zip(obj, of, strict=True))
    return all(_is(value, of[0]) for value in obj)


def fork(func: Callable, *args: Any, **kwargs: Any) -> Future:
    """Call the function at once and keep its result, as torch does outside TorchScript.

    Example:
        >>> import rushlight as torch
        >>> torch.jit.wait(torch.jit.fork(lambda x: x + 1, 2))
        3
    """
    done = Future()
    done.set_result(func(*args, **kwargs))
    return done


def wait(future: Future) -> Any:
    """What the forked call returned."""
    return future.wait()


def freeze(mod: _T, preserved_attrs: list[str] | None = None, optimize_numerics: bool = True) -> _T:
    """Give the module back: what freezing makes constant, ``torch.compile`` finds by itself, and results are the same.

    Raises:
        RuntimeError: the module is in training mode, which torch refuses too.
    """
    if getattr(mod, "training", False):
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module "
            "before freezing."
        )
    return mod


def optimize_for_inference(mod: _T, other_methods: list[str] | None = None) -> _T:
    """Give the module back; ``torch.compile`` is what makes it fast."""
    return mod


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted for either answer: XLA fuses compiled programs by itself, and oneDNN's fusion is not in use."""


def onednn_fusion_enabled() -> bool:
    """Whether oneDNN fuses operators: never."""
    return False


@contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """A block in which TorchScript would or would not optimize; there is none, so it changes nothing."""
    yield


def _refusing(name: str) -> Callable:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise not_supported(f"torch.jit.{name}", _INSTEAD)

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Refused: ``torch.jit.{name}`` needs TorchScript.\n\nRaises:\n    NotImplementedError: always.\n"
    return refuse


trace = _refusing("trace")
trace_module = _refusing("trace_module")
load = _refusing("load")
save = _refusing("save")
CompilationUnit = _refusing("CompilationUnit")
set_fusion_strategy = _refusing("set_fusion_strategy")


# Private names that copied model code calls.
_script_if_tracing = script_if_tracing


def _overload(fn: _T) -> _T:
    """Give the function back; overloads are for TorchScript's reader."""
    return fn


_overload_method = _overload


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "Attribute", "CompilationUnit", "Error", "Final", "Future", "ScriptFunction", "ScriptModule", "annotate",
    "enable_onednn_fusion", "export", "fork", "freeze", "ignore", "interface", "is_scripting", "is_tracing",
    "isinstance", "load", "onednn_fusion_enabled", "optimize_for_inference", "optimized_execution", "save", "script",
    "script_if_tracing", "script_method", "set_fusion_strategy", "trace", "trace_module", "unused", "wait",
]  # fmt: skip
