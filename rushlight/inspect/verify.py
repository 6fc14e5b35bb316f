"""Owns ``verify``: whether a checkpoint is whole, and what a file that is not trusted would have PyTorch import.

May import the sources and the checkpoint reader.
"""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint.allowlist import Policy, is_blocked
from ..checkpoint.archive_reader import ArchiveReader
from ..checkpoint.serialization import global_names
from .source import Source, UnreadableFile, forget, open_source
from .stats import counted, readable_size

_CHUNK = 1 << 22


def verify(path: str | os.PathLike, done: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Check everything about a file that can be checked without knowing what it is for, as plain data for JSON.

    Args:
        path: the file.
        done: called with the bytes of each part that has been read.

    Raises:
        UnreadableFile: it cannot be opened at all.
    """
    checks: list[dict[str, Any]] = []

    def add(name: str, ok: bool, detail: str, blocked: bool = False) -> None:
        checks.append({"check": name, "ok": ok, "detail": detail, "blocked": blocked})

    try:
        opened = open_source(path)
    except UnreadableFile:
        if not Path(path).is_file():
            raise
        # A file that was made to do harm is not built, but what it would do can be told.
        _check_names(Path(path), add)
        if all(check["ok"] or not check["blocked"] for check in checks):
            raise
        return {"file": str(path), "format": "torch", "ok": False, "checks": checks}
    with opened as source:
        count = f"{counted(len(source.entries), 'tensor')} inside {counted(len(source.storages), 'storage')}"
        add("structure", True, f"{source.format}; {count}")
        for note in source.notes:
            add("note", True, note)
        done = done or (lambda count: None)
        if source.format == "torch zip":
            _check_archive(Path(source.path), source, add, done)
        elif source.format == "npz":
            with zipfile.ZipFile(source.path) as archive:
                bad = archive.testzip()
            add("checksums", bad is None, f"record {bad} does not match" if bad else "every record matches")
        else:
            _read_all(source, add, done)
            if source.format.startswith("torch"):
                _check_names(Path(source.path), add)
    return {"file": str(path), "format": source.format, "ok": all(c["ok"] for c in checks), "checks": checks}


def _check_archive(path: Path, source: Source, add, done) -> None:
    expected = {}
    with zipfile.ZipFile(path) as archive:
        expected = {info.filename.partition("/")[2]: info.CRC for info in archive.infolist()}
    with path.open("rb") as file:
        mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)
        reader = ArchiveReader(file, mapped)
        wrong, total = [], 0
        for name in reader.names():
            checksum, data = 0, reader.array(name)
            for begin in range(0, len(data), _CHUNK):
                checksum = zlib.crc32(data[begin : begin + _CHUNK].data, checksum)
                done(min(_CHUNK, len(data) - begin))
            total += len(data)
            forget(data)
            if checksum != expected[name]:
                wrong.append(name)
    if not any(expected.values()):
        add("checksums", True, "the file was written without checksums, so there is nothing to compare")
    elif wrong:
        add("checksums", False, f"{len(wrong)} records were changed after saving: {', '.join(wrong[:5])}")
    else:
        add("checksums", True, f"all {len(expected)} records match ({readable_size(total)})")
    _check_names(path, add)


def _check_names(path: Path, add) -> None:
    """What the file would have another reader import and call."""
    policy = Policy(True)
    unsafe: list[str] = []
    try:
        found = global_names(str(path))
    except Exception:  # whatever a damaged file provokes; what is wrong with it is told elsewhere
        return
    for name in found:
        try:
            policy.find(*name.rsplit(".", 1))
        except pickle.UnpicklingError:
            unsafe.append(name)
    blocked = [name for name in unsafe if is_blocked(name)]
    if blocked:
        detail = f"PyTorch would run these with weights_only=False: {_few(blocked)}. Do not open the file with it."
        add("names", False, detail, blocked=True)
    elif unsafe:
        detail = f"PyTorch would import these with weights_only=False: {_few(unsafe)}. rushlight imports nothing."
        add("names", False, detail)
    else:
        add("names", True, "only tensors, containers and numbers; nothing to import")


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_all(source: Source, add, done) -> None:
    """For formats without checksums: that every value can be read."""
    for entry in source.entries:
        for chunk in source.chunks(entry):
            done(chunk.nbytes)
    add("values", True, f"every tensor can be read; {source.format} files have no checksums to compare")
