"""Owns the way from a distributed checkpoint to one file of ``torch.save``, and back.

May import the checkpoint package and this folder.
"""

from __future__ import annotations

import os
from typing import Any

from ..._errors import missing_name
from ...checkpoint import load as _load_file
from ...checkpoint import save as _save_file
from .filesystem import FileSystemWriter
from .state_dict_loader import load_all
from .state_dict_saver import _save_state_dict


def dcp_to_torch_save(dcp_checkpoint_dir: str | os.PathLike, torch_save_path: str | os.PathLike) -> None:
    """Write what a distributed checkpoint holds into one file.

    Args:
        dcp_checkpoint_dir: the folder.
        torch_save_path: the file, as for ``torch.save``.

    Raises:
        CheckpointException: the folder could not be read.
    """
    _save_file(load_all(dcp_checkpoint_dir), torch_save_path)


def torch_save_to_dcp(torch_save_path: str | os.PathLike, dcp_checkpoint_dir: str | os.PathLike) -> None:
    """Write what a file of ``torch.save`` holds as a distributed checkpoint.

    Args:
        torch_save_path: the file.
        dcp_checkpoint_dir: the folder.

    Raises:
        CheckpointException: the folder could not be written.
    """
    state = _load_file(torch_save_path, weights_only=False)
    _save_state_dict(state, FileSystemWriter(dcp_checkpoint_dir), None)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["dcp_to_torch_save", "torch_save_to_dcp"]
