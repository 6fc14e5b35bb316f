"""Owns ``torch._subclasses`` as far as packages ask whether a tensor holds values.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name
from . import fake_tensor as fake_tensor
from .fake_tensor import FakeTensor, FakeTensorMode


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["FakeTensor", "FakeTensorMode"]
