"""Owns numpy's npz archives for streaming: arrays read one at a time, and written in pieces.

May import dtypes, numpy, the standard library and ``source``.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .. import dtypes
from .safetensors_file import dense_stride
from .source import Entry, Source, UnreadableFile

_PLAIN = "?bhilqBHILQefdFD"
# Records that grow more than so much when they are read may do so up to a size; beyond, the file is a bomb.
_GROWTH, _MOST = 100, 512 << 20


def open_source(path: Path) -> Source:
    """Open an archive; arrays of objects or text are listed as values, and not read."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise UnreadableFile(f"{path}: not an npz archive ({error})") from error
    if any(name.endswith("/data.pkl") for name in archive.namelist()):
        archive.close()
        raise UnreadableFile(f"{path}: expected an archive of numpy, received one of torch.save. Name it *.pth.")
    made = Source(str(path), "npz", closers=[archive.close])
    grown = sum(info.file_size for info in archive.infolist() if info.file_size > _GROWTH * info.compress_size)
    if grown > _MOST:
        archive.close()
        raise UnreadableFile(
            f"{path}: {path.stat().st_size:,} bytes that would become {grown:,}, as a file does that is made to fill "
            "memory. If it is yours, save it with numpy.savez, without compression."
        )
    for info in archive.infolist():
        record = info.filename
        name = record.removesuffix(".npy")
        with archive.open(record) as file:
            try:
                version = np.lib.format.read_magic(file)
                # Objects would have to be unpickled; their header says so before any of it is read.
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, kind = read(file)
                claimed = file.tell() + math.prod(shape) * kind.itemsize
            except ValueError as error:
                made.values[name] = f"<{record}: {error}>"
                continue
        if kind.char not in _PLAIN:
            made.values[name] = f"<array of {kind}, shape {shape}>"
            continue
        if claimed != info.file_size or any(n < 0 for n in shape):
            archive.close()
            raise UnreadableFile(f"{path}: array '{name}' of shape {shape} does not fill its {info.file_size:,} bytes")
        entry = Entry(name, dtypes.from_numpy(kind.newbyteorder("=")), tuple(shape), record, stride=dense_stride(shape))
        made.entries.append(entry)
        made.storages[record] = entry.nbytes

    def load(entry: Entry) -> np.ndarray:
        with archive.open(str(entry.storage)) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).reshape(array.shape)

    made.reader = load
    return made


def check_dtype(dtype: dtypes.dtype, name: str) -> None:
    """Refuse what the format cannot hold.

    Raises:
        ValueError: numpy itself has no such dtype.
    """
    if dtype is dtypes.complex32:
        raise ValueError(f"'{name}': npz has no complex32; write a .pth file")
    if dtype.np.char not in _PLAIN:
        raise ValueError(
            f"'{name}': npz has no {dtype.name}; cast it with --dtype float32, or write a .safetensors file"
        )


def write(
    file,
    entries: Iterable[tuple[str, dtypes.dtype, tuple[int, ...]]],
    chunks: Callable[[str], Iterable[np.ndarray]],
) -> None:
    """Write an archive in one pass; arguments as for ``safetensors_file.write``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, dtype, shape in entries:
            check_dtype(dtype, name)
            # A fixed date, so that equal tensors give equal files.
            record = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(record, "w", force_zip64=True) as out:
                header = {"descr": np.lib.format.dtype_to_descr(dtype.np), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(out, header)
                for chunk in chunks(name):
                    out.write(np.ascontiguousarray(chunk).view(np.uint8).data)
