"""Owns the ``torch.compiler`` namespace: ``compile`` and what steers it; re-exports only.

May import the files of this folder.
"""

from .._errors import missing_name as _missing_name
from .._graph.modes import state as _state
from ._function import Compiled as Compiled
from ._function import compile
from ._module import compiled_call as compiled_call
from ._module import compiled_twin as compiled_twin

disable = compile.disable
explain = compile.explain


def is_compiling() -> bool:
    """Whether the code that asks is being compiled."""
    return _state.trace is not None


is_dynamo_compiling = is_compiling


def reset() -> None:
    """Drop XLA's compiled programs; each function compiles anew when it is called."""
    import jax

    jax.clear_caches()


def __getattr__(name: str):
    raise _missing_name(__name__, name)
