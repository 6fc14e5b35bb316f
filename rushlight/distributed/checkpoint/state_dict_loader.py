"""Owns loading a distributed checkpoint into one process.

May import the planners, the folder and _errors.
"""

from __future__ import annotations

import os
from typing import Any

from ..._device import cpu
from ..._errors import missing_name
from ..._tensor.tensor import Tensor
from ...ops.creation import empty
from ._nested_dict import set_element
from .api import step
from .default_planner import DefaultLoadPlanner, planner_of
from .filesystem import FileSystemReader
from .metadata import Metadata, TensorStorageMetadata
from .state_dict_saver import renamed, storage_of
from .stateful import Stateful


def load(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike | None = None, storage_reader: Any = None,
    planner: Any = None, process_group: Any = None, no_dist: bool = False,
) -> None:  # fmt: skip
    """Read a distributed checkpoint, of PyTorch or of ``save``, into a state of the same form.

    Tensors are written in place, also where several processes wrote pieces of them; other values are replaced.
    Modules and optimizers are given their states. Nothing that the files say is imported or called.

    Args:
        state_dict: what to load, with a tensor of the right size in the place of each tensor.
        checkpoint_id: the folder.
        storage_reader: instead: a ``FileSystemReader``.
        planner: a ``DefaultLoadPlanner``.
        process_group, no_dist: accepted: there is one process.

    Raises:
        RuntimeError: neither a folder nor a reader is given.
        CheckpointException: it could not be read; ``failures[0]`` says why.

    Example:
        >>> import tempfile, rushlight as torch
        >>> from rushlight.distributed import checkpoint as dcp
        >>> folder = tempfile.mkdtemp()
        >>> _ = dcp.save({"weight": torch.ones(2), "epoch": 3}, checkpoint_id=folder)
        >>> state = {"weight": torch.zeros(2), "epoch": 0}
        >>> dcp.load(state, checkpoint_id=folder)
        >>> state
        {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    reader = storage_of(storage_reader, checkpoint_id, FileSystemReader)
    keys = sorted(state_dict)
    held = {key: one.state_dict() if isinstance(one := state_dict[key], Stateful) else one for key in keys}
    _load_state_dict(held, reader, planner=planner)
    for key in keys:
        if isinstance(state_dict[key], Stateful):
            state_dict[key].load_state_dict(held[key])
        else:
            state_dict[key] = held[key]


def _contents(reader: Any) -> Metadata:
    """The common table of contents, or that of the first process.

    Raises:
        AssertionError: there is neither.
    """
    problems = []
    for rank, name in ((None, "global"), (0, "rank local")):
        try:
            return reader.read_metadata(rank=rank)
        except Exception as error:
            problems.append(f"{name} metadata read failed: {error}")
    raise AssertionError("; ".join(["metadata is None", *problems]))


def _load_state_dict(
    state_dict: dict[str, Any], storage_reader: Any, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> None:  # fmt: skip
    planner = planner_of(planner, DefaultLoadPlanner)

    def plan() -> tuple[Metadata, dict[str, Any]]:
        _materialize(state_dict)
        contents = _contents(storage_reader)
        return contents, planner.entries(state_dict, contents)

    contents, wanted = step("plan", plan)

    def read() -> None:
        for name, value in wanted.items():
            kept = contents.state_dict_metadata[name]
            if isinstance(kept, TensorStorageMetadata):
                storage_reader.read_tensor(name, kept, value)
            else:
                set_element(state_dict, planner.mappings[name], storage_reader.read_bytes(name))

    step("read", read)


def _materialize(value: Any) -> None:
    """Give tensors of the meta device, which hold no values, a place on the CPU."""
    for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(one, Tensor) and one.device.type == "meta":
            value[key] = empty(one.shape, dtype=one.dtype, device=cpu)
        elif isinstance(one, dict | list):
            _materialize(one)


def load_state_dict(
    state_dict: dict[str, Any], storage_reader: Any, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> None:  # fmt: skip
    """Read a checkpoint into a state; ``load`` is its new name.

    Args:
        state_dict: the state.
        storage_reader: a ``FileSystemReader``.
        process_group, coordinator_rank, no_dist: accepted: there is one process.
        planner: a ``DefaultLoadPlanner``.

    Raises:
        CheckpointException: it could not be read.
    """
    renamed("load_state_dict", "load")
    storage_reader.reset()
    _load_state_dict(state_dict, storage_reader, planner=planner)


def load_all(folder: str | os.PathLike, keys: Any = None) -> dict[str, Any]:
    """The whole state of a checkpoint, nested as it was, with tensors of its own.

    Args:
        folder: the checkpoint.
        keys: only these, by flat name or the beginning of a path; default: all.

    Raises:
        CheckpointException: it could not be read.
    """
    reader = FileSystemReader(folder)
    contents = step("plan", lambda: _contents(reader))

    def read() -> dict[str, Any]:
        state: dict[str, Any] = {}
        for name, kept in contents.state_dict_metadata.items():
            path = (contents.planner_data or {}).get(name, (name,))
            if keys is not None and not any(".".join(map(str, path[:n])) in keys for n in range(1, len(path) + 1)):
                continue
            if isinstance(kept, TensorStorageMetadata):
                value: Any = empty(kept.size, dtype=kept.properties.dtype, device=cpu)
                reader.read_tensor(name, kept, value)
            else:
                value = reader.read_bytes(name)
            set_element(state, path, value)
        return state

    return step("read", read)


def _load_state_dict_from_keys(
    keys: set[str] | str | None = None, *, checkpoint_id: str | os.PathLike | None = None, storage_reader: Any = None,
    process_group: Any = None,
) -> dict[str, Any]:  # fmt: skip
    reader = storage_of(storage_reader, checkpoint_id, FileSystemReader)
    return load_all(reader.path, {keys} if isinstance(keys, str) else keys)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["load", "load_state_dict"]
