"""Owns the ``torch.compiler`` namespace: ``compile`` and what steers it; re-exports only.

May import the files of this folder.
"""

from collections.abc import Callable as _Callable
from typing import TypeVar as _TypeVar

from .._errors import missing_name as _missing_name
from .._graph.modes import state as _state
from ._function import Compiled as Compiled
from ._function import compile
from ._module import compiled_call as compiled_call
from ._module import compiled_twin as compiled_twin

_F = _TypeVar("_F", bound=_Callable)
disable = compile.disable
explain = compile.explain


def is_compiling() -> bool:
    """Whether the code that asks is being compiled."""
    return _state.trace is not None


is_dynamo_compiling = is_compiling


def is_exporting() -> bool:
    """Whether the code that asks is being exported: never, there is no ``torch.export``."""
    return False


def allow_in_graph(fn: _F) -> _F:
    """Give the function back: tracing looks inside of nothing but operators, so every function is in the graph.

    Args:
        fn: the function.
    """
    return fn


def assume_constant_result(fn: _F) -> _F:
    """Give the function back: what Python computes while a function is traced is constant anyway.

    Args:
        fn: the function.
    """
    return fn


def reset() -> None:
    """Drop XLA's compiled programs; each function compiles anew when it is called."""
    import jax

    jax.clear_caches()


def __getattr__(name: str):
    raise _missing_name(__name__, name)
