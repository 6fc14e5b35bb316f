"""Owns ``verify``: whether a checkpoint is whole, and what a file that is not trusted would have PyTorch import.

May import the sources and the checkpoint reader.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import get_unsafe_globals_in_checkpoint
from ..checkpoint.archive_reader import ArchiveReader
from .source import Source, forget, open_source
from .stats import readable_size

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

    def add(name: str, ok: bool, detail: str) -> None:
        checks.append({"check": name, "ok": ok, "detail": detail})

    with open_source(path) as source:
        count = f"{len(source.entries):,} tensors lie inside their {len(source.storages):,} storages"
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
    names = get_unsafe_globals_in_checkpoint(str(path))
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        detail = f"PyTorch would import these with weights_only=False: {shown}. rushlight makes inert stubs of them."
        add("names", False, detail)
    else:
        add("names", True, "only tensors, containers and numbers; nothing to import")


def _read_all(source: Source, add, done) -> None:
    """For formats without checksums: that every value can be read."""
    for entry in source.entries:
        for chunk in source.chunks(entry):
            done(chunk.nbytes)
    add("values", True, f"every tensor can be read; {source.format} files have no checksums to compare")
