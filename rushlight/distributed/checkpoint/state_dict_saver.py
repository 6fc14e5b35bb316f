"""Owns saving a distributed checkpoint from one process.

May import the planners, the folder, futures and _errors.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

from ..._errors import missing_name
from ..._tensor.tensor import Tensor
from ...futures import Future
from .api import step
from .default_planner import DefaultSavePlanner, planner_of
from .filesystem import FileSystemWriter
from .metadata import Metadata
from .stateful import Stateful


def storage_of(storage: Any, checkpoint_id: str | os.PathLike | None, kind: type) -> Any:
    """The folder to use: the one given, or a new one for ``checkpoint_id``.

    Raises:
        RuntimeError: neither is given.
    """
    if storage is not None:
        if checkpoint_id is not None:
            storage.reset(checkpoint_id)
        return storage
    if not checkpoint_id:
        raise RuntimeError("`checkpoint_id` must be specified if storage_reader/storage_writer is None.")
    return kind(checkpoint_id)


def renamed(old: str, new: str) -> None:
    """Warn the caller of a function whose name is old."""
    text = f"`{old}` is deprecated and will be removed in future versions. Please use `{new}` instead."
    warnings.warn(text, FutureWarning, stacklevel=3)


def _states(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {key: one.state_dict() if isinstance(one, Stateful) else one for key, one in state_dict.items()}


def save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike | None = None, storage_writer: Any = None,
    planner: Any = None, process_group: Any = None, no_dist: bool = False, use_collectives: bool = True,
) -> Metadata:  # fmt: skip
    """Write a state as PyTorch's distributed checkpoints are: a folder, which PyTorch reads too.

    Args:
        state_dict: tensors, and whatever ``torch.save`` takes, in nested dicts; modules and optimizers stand for
            their states.
        checkpoint_id: the folder.
        storage_writer: instead: a ``FileSystemWriter``.
        planner: a ``DefaultSavePlanner``.
        process_group, no_dist: accepted: there is one process.
        use_collectives: False writes the table of contents of one process, ``__0.metadata``.

    Returns:
        The table of contents.

    Raises:
        RuntimeError: neither a folder nor a writer is given.
        CheckpointException: it could not be written.

    Example:
        >>> import os, tempfile, rushlight as torch
        >>> from rushlight.distributed import checkpoint as dcp
        >>> folder = tempfile.mkdtemp()
        >>> _ = dcp.save({"model": torch.nn.Linear(2, 1)}, checkpoint_id=folder)
        >>> sorted(os.listdir(folder))
        ['.metadata', '__0_0.distcp']
    """
    writer = storage_of(storage_writer, checkpoint_id, FileSystemWriter)
    return _save_state_dict(_states(state_dict), writer, planner, None if use_collectives else 0)


def _save_state_dict(state_dict: dict[str, Any], writer: Any, planner: Any, rank: int | None = None) -> Metadata:
    planner = planner_of(planner, DefaultSavePlanner)

    def prepare() -> tuple:
        writer.prepare(rank)
        return planner.entries(state_dict)

    entries, mappings = step("plan", prepare)
    return step("write", lambda: writer.write(entries, mappings, rank))


def save_state_dict(
    state_dict: dict[str, Any], storage_writer: Any, process_group: Any = None, coordinator_rank: int = 0,
    no_dist: bool = False, planner: Any = None,
) -> Metadata:  # fmt: skip
    """Write a state; ``save`` is its new name.

    Args:
        state_dict: the state.
        storage_writer: a ``FileSystemWriter``.
        process_group, coordinator_rank, no_dist: accepted: there is one process.
        planner: a ``DefaultSavePlanner``.

    Raises:
        CheckpointException: it could not be written.
    """
    renamed("save_state_dict", "save")
    storage_writer.reset()
    return _save_state_dict(state_dict, storage_writer, planner)


def _held(value: Any) -> Any:
    """The value as it is now: later changes of its tensors do not reach it."""
    if isinstance(value, Tensor):
        return Tensor._of(value.detach()._array(), value.device)
    if isinstance(value, dict):
        return {key: _held(one) for key, one in value.items()}
    return [_held(one) for one in value] if isinstance(value, list) else value


def async_save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike | None = None, storage_writer: Any = None,
    planner: Any = None, process_group: Any = None, async_checkpointer_type: Any = None, async_stager: Any = None,
    no_dist: bool = False, use_collectives: bool = True,
) -> Future:  # fmt: skip
    """Write a state as it is now, in a thread, while the program goes on; arguments as for ``save``.

    Args:
        async_checkpointer_type, async_stager: accepted: arrays cannot change, so nothing is copied first.

    Returns:
        A future, whose result is the table of contents.
    """
    writer = storage_of(storage_writer, checkpoint_id, FileSystemWriter)
    held, later = _held(_states(state_dict)), Future()

    def work() -> None:
        try:
            later.set_result(_save_state_dict(held, writer, planner, None if use_collectives else 0))
        except BaseException as error:
            later.set_exception(error)  # type: ignore[arg-type]

    threading.Thread(target=work).start()
    return later


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["async_save", "save", "save_state_dict"]
