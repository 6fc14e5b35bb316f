"""Owns the folder of a distributed checkpoint: ``.metadata`` and the files of pieces, written and read as torch does.

May import the checkpoint package, the records, the tensor cell, operators and _errors.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..._errors import missing_name, not_supported
from ..._tensor.tensor import Tensor
from ...checkpoint import load as _load_object
from ...checkpoint import save as _save_object
from ...checkpoint.atomic import replacing
from ...checkpoint.pickler import Pickler
from ...dtypes import Size
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)  # fmt: skip

CURRENT_DCP_VERSION = "1.0.0"
DEFAULT_SUFFIX = ".distcp"
_metadata_fn = ".metadata"


@dataclass
class _StorageInfo:
    """Where a piece lies: in which file of the folder, from which byte on, and how many bytes."""

    relative_path: str
    offset: int
    length: int
    transform_descriptors: Sequence[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class _StoragePrefix:
    """How the names of one process's files begin."""

    prefix: str


class SerializationFormat(Enum):
    """How tensors are written."""

    TORCH_SAVE = "torch_save"
    SAFETENSORS = "safetensors"


def _table_name(rank: int | None) -> str:
    return _metadata_fn if rank is None else f"__{rank}{_metadata_fn}"


class FileSystemWriter:
    """Writes a checkpoint into a folder: the pieces, then the table of contents in one step.

    Args:
        path: the folder; it is made.
        single_file_per_rank: one file for everything; otherwise one for each entry.
        sync_files: accepted: each file is synced before it takes its name.
        thread_count: into how many files to divide the entries.
        per_thread_copy_ahead, cache_staged_state_dict: accepted: JAX copies from devices itself.
        overwrite: whether a checkpoint that is there may be replaced; it warns.
        serialization_format: ``TORCH_SAVE``.

    Raises:
        NotImplementedError: another format, or extensions.

    Example:
        >>> import tempfile, rushlight as torch
        >>> from rushlight.distributed import checkpoint as dcp
        >>> state = {"model": torch.nn.Linear(2, 1).state_dict(), "epoch": 3}
        >>> contents = dcp.save(state, storage_writer=dcp.FileSystemWriter(tempfile.mkdtemp()))
        >>> list(contents.state_dict_metadata)
        ['model.weight', 'model.bias', 'epoch']
    """

    def __init__(
        self, path: str | os.PathLike, single_file_per_rank: bool = True, sync_files: bool = True,
        thread_count: int = 1, per_thread_copy_ahead: int = 10_000_000, cache_staged_state_dict: bool = False,
        overwrite: bool = True, _extensions: Any = None,
        serialization_format: SerializationFormat = SerializationFormat.TORCH_SAVE,
    ):  # fmt: skip
        if _extensions:
            raise not_supported("FileSystemWriter(_extensions=...)", "Leave it out.")
        if serialization_format is not SerializationFormat.TORCH_SAVE:
            raise not_supported(
                f"FileSystemWriter(serialization_format={serialization_format})",
                "Use TORCH_SAVE, or rushlight.checkpoint.save_file for safetensors.",
            )
        self.single_file_per_rank = single_file_per_rank
        self.thread_count = thread_count
        self.overwrite = overwrite
        self.reset(path)

    def reset(self, checkpoint_id: str | os.PathLike | None = None) -> None:
        """Begin a new checkpoint, in another folder if one is given."""
        if checkpoint_id:
            self.path = Path(checkpoint_id)
        self.save_id = str(uuid.uuid4())

    @property
    def checkpoint_id(self) -> Path:
        """The folder."""
        return self.path

    def prepare(self, rank: int | None = None) -> None:
        """Make the folder, and look for a checkpoint that is there already.

        Raises:
            RuntimeError: there is one, and it is not to be replaced.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / _table_name(rank)).exists():
            if not self.overwrite:
                raise RuntimeError(f"Checkpoint already exists and {self.overwrite=}.")
            warnings.warn(
                f"Detected an existing checkpoint in {self.path}, overwriting since {self.overwrite=}. Set it to "
                "False to raise instead.",
                stacklevel=2,
            )

    def write(self, entries: dict[str, Any], mappings: Any, rank: int | None = None) -> Metadata:
        """Write entries, and then the table of contents.

        Args:
            entries: tensors and other values by flat name.
            mappings: the path that each name stands for.
            rank: None for the common table of contents; a number for that of one process.
        """
        kept: dict[str, Any] = {}
        for name, value in entries.items():
            kept[name] = _describe(value) if isinstance(value, Tensor) else BytesStorageMetadata()
        places: dict[MetadataIndex, _StorageInfo] = {}
        for number, names in enumerate(self._files(entries)):
            file_name = f"__{rank or 0}_{number}{DEFAULT_SUFFIX}"
            with replacing(self.path / file_name) as file:
                # What is no tensor comes first, as torch has it.
                for name in sorted(names, key=lambda name: isinstance(entries[name], Tensor)):
                    start = file.tell()
                    file.write(_pickled(entries[name]))
                    info = _StorageInfo(file_name, start, file.tell() - start)
                    places[_index(name, entries[name])] = info
        # A string, and no path, which each version of Python pickles under another name.
        contents = Metadata(
            kept, mappings, places, StorageMeta(os.fspath(self.path), self.save_id), CURRENT_DCP_VERSION
        )
        with replacing(self.path / _table_name(rank)) as file:
            Pickler(file, 4).dump(contents)
        return contents

    def _files(self, entries: dict[str, Any]) -> list[list[str]]:
        """Which entries go into which file."""
        if not self.single_file_per_rank:
            return [[name] for name in entries]
        if self.thread_count == 1:
            return [list(entries)]
        files: list[list[str]] = [[] for _ in range(self.thread_count)]
        sizes = [0] * self.thread_count
        tensors = [name for name, value in entries.items() if isinstance(value, Tensor)]
        for i, name in enumerate(name for name in entries if name not in set(tensors)):
            files[i % self.thread_count].append(name)
        for name in sorted(tensors, key=lambda name: -entries[name].nbytes):
            smallest = sizes.index(min(sizes))
            files[smallest].append(name)
            sizes[smallest] += entries[name].nbytes
        return files


def _index(name: str, value: Any) -> MetadataIndex:
    return MetadataIndex(name, (0,) * value.dim(), 0) if isinstance(value, Tensor) else MetadataIndex(name)


def _describe(tensor: Tensor) -> TensorStorageMetadata:
    size = Size(tensor.shape)
    whole = ChunkStorageMetadata(Size((0,) * len(size)), size)
    return TensorStorageMetadata(TensorProperties.create_from_tensor(tensor), size, [whole])


def _pickled(value: Any) -> memoryview:
    if isinstance(value, Tensor):
        value = value.detach()
        value = value if value.device.type == "cpu" else value.cpu()
        if value.untyped_storage().nbytes() != value.nbytes:
            value = value.clone()  # a view would bring along the whole of what it shows a part of
    file = io.BytesIO()
    _save_object(value, file)
    return file.getbuffer()


class FileSystemReader:
    """Reads a checkpoint from a folder, also one that many processes wrote; nothing in it is imported or called.

    Args:
        path: the folder.

    Raises:
        NotImplementedError: extensions.
    """

    def __init__(self, path: str | os.PathLike, _extension_registry: Any = None):
        if _extension_registry is not None:
            raise not_supported("FileSystemReader(_extension_registry=...)", "Leave it out.")
        self.reset(path)

    def reset(self, checkpoint_id: str | os.PathLike | None = None) -> None:
        """Begin anew, with another folder if one is given."""
        if checkpoint_id:
            self.path = Path(checkpoint_id)
        self.storage_data: dict[MetadataIndex, _StorageInfo] = {}
        self.load_id = str(uuid.uuid4())

    @property
    def checkpoint_id(self) -> Path:
        """The folder."""
        return self.path

    def read_metadata(self, *, rank: int | None = None) -> Metadata:
        """The table of contents.

        Args:
            rank: that of one process; default: the common one.

        Raises:
            FileNotFoundError: there is none.
            UnpicklingError: it is damaged, or is something else.
        """
        from . import _contents  # it needs the records above

        found = _contents.read((self.path / _table_name(rank)).read_bytes())
        if not isinstance(getattr(found, "storage_meta", None), StorageMeta):
            found.storage_meta = StorageMeta()
        assert found.storage_meta is not None
        found.storage_meta.load_id = self.load_id
        self.storage_data = found.storage_data
        return found

    def read_bytes(self, name: str) -> Any:
        """A value that is no tensor."""
        return _load_object(self._slice(self.storage_data[MetadataIndex(name)]), weights_only=False)

    def read_tensor(self, name: str, kept: TensorStorageMetadata, target: Tensor) -> None:
        """Write a tensor, piece by piece, into ``target``.

        Raises:
            UnpicklingError: a piece is of another size than the table of contents says.
        """
        target = target.detach()
        for chunk in kept.chunks:
            if not math.prod(chunk.sizes) and chunk.sizes != kept.size:
                continue
            piece = _load_object(self._slice(self.storage_data[MetadataIndex(name, chunk.offsets)]), "cpu")
            if not isinstance(piece, Tensor) or piece.shape != chunk.sizes:
                raise pickle.UnpicklingError(
                    f"a piece of tensor '{name}': expected size {chunk.sizes}, received "
                    f"{getattr(piece, 'shape', type(piece).__name__)}. The checkpoint is damaged."
                )
            where = tuple(slice(start, start + length) for start, length in zip(chunk.offsets, chunk.sizes))
            (target[where] if where else target).copy_(piece)

    def _slice(self, place: _StorageInfo) -> io.BytesIO:
        if place.transform_descriptors:
            raise not_supported(
                f"Reading pieces written with the extension {list(place.transform_descriptors)}",
                "Write the checkpoint without extensions.",
            )
        with open(self.path / place.relative_path, "rb") as file:
            file.seek(place.offset)
            data = file.read(place.length)
        if len(data) != place.length:
            raise pickle.UnpicklingError(
                f"{place.relative_path}: expected {place.offset + place.length} bytes or more, received "
                f"{place.offset + len(data)}. The file is damaged; save or download it again."
            )
        return io.BytesIO(data)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["FileSystemReader", "FileSystemWriter", "SerializationFormat"]
