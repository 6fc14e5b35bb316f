"""Owns ``torch.distributed.checkpoint``: PyTorch's folders of checkpoints, for one process; re-exports only.

May import this folder.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..._errors import missing_name
from .api import CheckpointException
from .default_planner import DefaultLoadPlanner, DefaultSavePlanner
from .filesystem import FileSystemReader, FileSystemWriter
from .metadata import BytesStorageMetadata, ChunkStorageMetadata, Metadata, TensorStorageMetadata
from .state_dict_loader import load, load_state_dict
from .state_dict_saver import async_save, save, save_state_dict

_LAZY = ("format_utils", "hf_storage", "state_dict")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    raise missing_name(__name__, name)


__all__ = [
    "BytesStorageMetadata", "CheckpointException", "ChunkStorageMetadata", "DefaultLoadPlanner", "DefaultSavePlanner",
    "FileSystemReader", "FileSystemWriter", "Metadata", "TensorStorageMetadata", "async_save", "load",
    "load_state_dict", "save", "save_state_dict",
]  # fmt: skip
