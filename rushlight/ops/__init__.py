"""Owns the operators: pure JAX functions declared once through the door in ``_op``, one file per family.

May import the tensor cell, the tape, random and jax.
"""

from typing import Any as _Any

from . import _custom
from ._custom import load_library as load_library


def __getattr__(name: str) -> _Any:
    # torch.ops.<namespace>: only those that are there, so that importing a file of this folder still finds the file.
    if name == "torchvision":
        from . import vision as vision
    elif name == "profiler":
        from . import recorded as recorded
    elif name == "aten":
        from . import _aten as _aten
    if name in _custom.namespaces:
        return _custom.namespaces[name]
    from .._errors import missing_name

    raise missing_name(__name__, name)
