"""Owns ``torch.cuda.graphs`` as refusals: recorded launches, which whole programs of XLA make needless.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from .._errors import missing_name, not_supported

_INSTEAD = "torch.compile(step) runs a whole step as one program."


class CUDAGraph:
    """A recording of launches; nothing is one, so ``isinstance`` says no.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.cuda.CUDAGraph", _INSTEAD)


class graph:
    """Would record what runs inside of it; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.cuda.graph", _INSTEAD)


def is_current_stream_capturing() -> bool:
    """Whether launches are being recorded: never."""
    return False


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["CUDAGraph", "graph", "is_current_stream_capturing"]
