"""Owns the list of all layers, for ``torch.nn.modules`` and ``torch.nn``; re-exports only.

May import the files of this folder.
"""

import importlib as _importlib

from .container import *
from .module import *

_LAYERS = (
    "linear", "conv", "batchnorm", "normalization", "activation", "dropout", "sparse", "pooling", "loss", "flatten",
)  # fmt: skip
for _name in _LAYERS:
    try:
        _found = _importlib.import_module(f"{__name__}.{_name}")
    except ModuleNotFoundError as _error:
        if not str(_error.name).endswith(_name):
            raise
    else:
        globals().update({_n: getattr(_found, _n) for _n in _found.__all__})
