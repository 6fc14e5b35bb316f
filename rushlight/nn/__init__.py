"""Owns the ``torch.nn`` namespace: layers, parameters and the folders below; re-exports only.

May import the files of this folder.
"""

from importlib import import_module as _import_module

from .._errors import missing_name as _missing_name
from .modules import *
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from .parallel import DataParallel

# The layers have a file of this name too, which came with them.
utils = _import_module(".utils", __name__)

# Folders that load on first use, as attributes or by import.
_LAZY = frozenset(
    {
        "attention", "common_types", "functional", "grad", "init", "intrinsic", "qat", "quantizable", "quantized",
    }
)  # fmt: skip


def __getattr__(name: str):
    if name in _LAZY:
        return _import_module(f"{__name__}.{name}")
    raise _missing_name(__name__, name)
