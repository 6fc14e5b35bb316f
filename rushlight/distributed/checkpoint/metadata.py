"""Owns the records in which a distributed checkpoint says what it holds; their paths and fields are torch's.

May import dtypes and _errors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ... import dtypes
from ..._errors import missing_name

STATE_DICT_TYPE = dict[str, Any]


@dataclass
class ChunkStorageMetadata:
    """A piece of a tensor: where it begins in each dimension, and how far it goes."""

    offsets: dtypes.Size
    sizes: dtypes.Size


class _MEM_FORMAT_ENCODING(Enum):
    """The number under which a file keeps a memory format."""

    TORCH_CONTIGUOUS_FORMAT = 0
    TORCH_CHANNELS_LAST = 1
    TORCH_PRESERVE_FORMAT = 2


_FORMATS = {
    _MEM_FORMAT_ENCODING.TORCH_CONTIGUOUS_FORMAT: dtypes.contiguous_format,
    _MEM_FORMAT_ENCODING.TORCH_CHANNELS_LAST: dtypes.channels_last,
    _MEM_FORMAT_ENCODING.TORCH_PRESERVE_FORMAT: dtypes.preserve_format,
}


@dataclass
class TensorProperties:
    """What a tensor is, besides its size; all but the dtype is kept for old readers."""

    dtype: Any = dtypes.float32
    layout: Any = dtypes.strided
    requires_grad: bool = False
    memory_format: Any = dtypes.contiguous_format
    pin_memory: bool = False

    def __getstate__(self) -> tuple:
        found = [code for code, kind in _FORMATS.items() if kind is self.memory_format]
        if not found:
            raise RuntimeError(f"Invalid torch.memory_format: {self.memory_format}")
        return self.dtype, self.layout, self.requires_grad, found[0], self.pin_memory

    def __setstate__(self, state: tuple) -> None:
        self.dtype, self.layout, self.requires_grad, code, self.pin_memory = state
        self.memory_format = _FORMATS[code]

    @staticmethod
    def create_from_tensor(tensor: Any) -> TensorProperties:
        """Those of a tensor."""
        return TensorProperties(tensor.dtype, tensor.layout, tensor.requires_grad)


@dataclass
class TensorStorageMetadata:
    """A tensor: what it is, its size, and the pieces that it is kept in."""

    properties: TensorProperties
    size: dtypes.Size
    chunks: list[ChunkStorageMetadata]


@dataclass
class BytesStorageMetadata:
    """Something that is no tensor."""


STORAGE_TYPES = TensorStorageMetadata | BytesStorageMetadata


@dataclass
class StorageMeta:
    """Where and in which call a checkpoint was written."""

    checkpoint_id: str | os.PathLike | None = None
    save_id: str | None = None
    load_id: str | None = None
    modules: list[str] = field(default_factory=list)


@dataclass
class Metadata:
    """The table of contents.

    Attributes:
        state_dict_metadata: what is kept under each flat name.
        planner_data: the path in the nested state that each flat name stands for.
        storage_data: where in which file each piece lies.
        storage_meta: where the checkpoint was written.
        version: of the format.
    """

    state_dict_metadata: dict[str, STORAGE_TYPES]
    planner_data: Any = None
    storage_data: Any = None
    storage_meta: StorageMeta | None = None
    version: str | None = None


@dataclass(frozen=True)
class MetadataIndex:
    """A piece of a tensor, or another value, by its flat name and where the piece begins.

    Args:
        fqn: the flat name.
        offset: where the piece begins; None for what is no tensor.
        index: which piece it is, as a hint; it does not count when two are compared.
    """

    fqn: str
    offset: dtypes.Size | None = None
    index: int | None = field(hash=False, compare=False, default=None)

    def __init__(self, fqn: str, offset: Sequence[int] | None = None, index: int | None = None):
        # The class is frozen, so that its objects can be keys.
        object.__setattr__(self, "fqn", fqn)
        object.__setattr__(self, "index", index)
        if offset is not None:
            object.__setattr__(self, "offset", dtypes.Size(offset))


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta", "TensorProperties",
    "TensorStorageMetadata",
]  # fmt: skip
