"""Owns the ``torch.nn`` namespace: layers, parameters and the folders below; re-exports only.

May import the files of this folder.
"""

from .._errors import missing_name as _missing_name
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from .parallel import DataParallel

# Folders that load on first use, as attributes or by import.
_LAZY = frozenset({"functional", "init", "utils"})


def __getattr__(name: str):
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise _missing_name(__name__, name)
