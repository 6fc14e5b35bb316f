"""Owns the question whether a tensor holds values, or stands for them while a program is traced.

May import the tensor cell, the tape's modes, _errors and jax.
"""

from __future__ import annotations

from typing import Any

from jax.core import Tracer

from .._errors import missing_name, not_supported
from .._tensor.tensor import Tensor


class FakeTensor(Tensor):
    """torch's tensors without values; nothing is one here, since a traced tensor is of its ordinary class."""


class FakeTensorMode:
    """Refused: the device ``"meta"`` is how shapes are computed without values.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("FakeTensorMode", 'Build the tensors with device="meta", or use torch.compile.')


def is_fake(x: object) -> bool:
    """Whether a tensor's values cannot be looked at, because a compiled function or a transform is being traced.

    Args:
        x: a tensor; anything else is not fake.

    Example:
        >>> import rushlight as torch
        >>> from rushlight._subclasses.fake_tensor import is_fake
        >>> is_fake(torch.ones(2)), is_fake(3)
        (False, False)
    """
    return isinstance(x, Tensor) and isinstance(x._array(), Tracer)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["FakeTensor", "FakeTensorMode", "is_fake"]
