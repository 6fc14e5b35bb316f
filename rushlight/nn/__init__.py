"""Owns the ``torch.nn`` namespace: layers, parameters and the folders below; re-exports only.

May import the files of this folder.
"""

from .._errors import missing_name as _missing_name
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def __getattr__(name: str):
    if name in ("functional", "init", "parallel", "utils"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name in ("DataParallel",):
        from .parallel import DataParallel

        return DataParallel
    raise _missing_name(__name__, name)
