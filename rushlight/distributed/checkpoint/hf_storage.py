"""Owns the names under which packages look for sharded safetensors files of several processes, as refusals.

May import _errors.
"""

from __future__ import annotations

from typing import Any

from ..._errors import missing_name, not_supported

_INSTEAD = "One process has the whole state: rushlight.checkpoint.load_file and save_sharded."


class HuggingFaceStorageReader:
    """Would read pieces of safetensors files; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.checkpoint.HuggingFaceStorageReader", _INSTEAD)


class HuggingFaceStorageWriter:
    """Would write pieces of safetensors files; refused.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        raise not_supported("torch.distributed.checkpoint.HuggingFaceStorageWriter", _INSTEAD)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["HuggingFaceStorageReader", "HuggingFaceStorageWriter"]
