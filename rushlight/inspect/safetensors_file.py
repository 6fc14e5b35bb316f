"""Owns the safetensors format for streaming: its header, checked, its tensors mapped, and files written in pieces.

May import dtypes, numpy, ``source`` and ``ties``. The safetensors library wants all tensors at once, so it is not used.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .. import dtypes
from ..checkpoint import ties
from .source import Entry, Source, UnreadableFile

_LARGEST_HEADER = 100_000_000
DTYPES = {
    "BOOL": dtypes.bool_, "U8": dtypes.uint8, "I8": dtypes.int8, "I16": dtypes.int16, "U16": dtypes.uint16,
    "I32": dtypes.int32, "U32": dtypes.uint32, "I64": dtypes.int64, "U64": dtypes.uint64, "F16": dtypes.float16,
    "BF16": dtypes.bfloat16, "F32": dtypes.float32, "F64": dtypes.float64, "C64": dtypes.complex64,
    "F8_E4M3": dtypes.float8_e4m3fn, "F8_E5M2": dtypes.float8_e5m2, "F8_E8M0": dtypes.float8_e8m0fnu,
    "F8_E4M3FNUZ": dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": dtypes.float8_e5m2fnuz,
}  # fmt: skip
_NAMES = {d: name for name, d in DTYPES.items()}


def read_header(path: Path) -> tuple[dict, dict[str, str], int]:
    """The tensors' records, the metadata, and where the data begins.

    Raises:
        UnreadableFile: the header contradicts itself or the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if head[:4] == b"PK\x03\x04":
            raise UnreadableFile(
                f"{path}: expected a safetensors file, received a zip archive. Name it *.pth or *.npz."
            )
        if length > min(_LARGEST_HEADER, size - 8):
            raise UnreadableFile(f"{path}: not a safetensors file, or cut short: its header claims {length:,} bytes")
        try:
            table = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_no_repeats)
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(f"{path}: the safetensors header is not JSON ({error})") from error
    metadata = table.pop("__metadata__", {}) if isinstance(table, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise UnreadableFile(f"{path}: the safetensors header is no object of tensors and text metadata")
    begin = 8 + length
    at = 0
    for name, record in sorted(table.items(), key=lambda item: _offsets(path, *item)):
        first, last = _offsets(path, name, record)
        kind, shape = record.get("dtype"), record.get("shape")
        if kind not in DTYPES:
            raise UnreadableFile(f"{path}: tensor '{name}' has the dtype {kind!r}, which is not supported")
        whole = isinstance(shape, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in shape)
        if not whole or math.prod(shape) * DTYPES[kind].itemsize != last - first:
            raise UnreadableFile(
                f"{path}: tensor '{name}' of shape {shape} {kind} does not fill its {last - first} bytes"
            )
        if first != at:
            raise UnreadableFile(
                f"{path}: tensor '{name}' begins at {first}, expected {at}: tensors overlap or leave gaps"
            )
        at = last
    if begin + at != size:
        raise UnreadableFile(f"{path}: expected {begin + at:,} bytes, received {size:,}: cut short or added to")
    return table, metadata, begin


def _no_repeats(pairs: list) -> dict:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice")
    return made


def _offsets(path, name: str, record) -> tuple[int, int]:
    found = record.get("data_offsets") if isinstance(record, dict) else None
    if not isinstance(found, list) or len(found) != 2 or not all(type(n) is int and n >= 0 for n in found):
        raise UnreadableFile(f"{path}: tensor '{name}' has no proper data_offsets")
    return found[0], found[1]


def open_source(path: Path) -> Source:
    """Open a file; names tied by ``save`` (metadata from a name to the name that holds the data) come back."""
    table, metadata, begin = read_header(path)
    tied = ties.to_restore(table, metadata)
    made = Source(str(path), "safetensors", metadata={k: v for k, v in metadata.items() if k not in tied})
    mapped = (
        np.memmap(path, np.uint8, "r").view(np.ndarray) if path.stat().st_size > begin else np.empty(begin, np.uint8)
    )
    starts: dict[object, int] = {}
    for name, record in table.items():
        kind, shape = DTYPES[record["dtype"]], tuple(record["shape"])
        starts[name] = record["data_offsets"][0]
        made.entries.append(Entry(name, kind, shape, name, stride=dense_stride(shape)))
        made.storages[name] = made.entries[-1].nbytes
    by_name = {entry.name: entry for entry in made.entries}
    for name, target in tied.items():
        first = by_name[target]
        made.entries.append(Entry(name, first.dtype, first.shape, target, stride=first.stride))

    def read(entry: Entry) -> np.ndarray:
        start = begin + starts[entry.storage]
        return _view(mapped[start : start + entry.nbytes], entry)

    made.reader = read
    return made


def _view(raw: np.ndarray, entry: Entry) -> np.ndarray:
    if entry.count == 0:
        return np.empty(entry.shape, entry.dtype.np)
    return raw.view(entry.dtype.np).reshape(entry.shape)


def dense_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    stride, step = [], 1
    for n in reversed(shape):
        stride.append(step)
        step *= max(n, 1)
    return tuple(reversed(stride))


def check_dtype(dtype: dtypes.dtype, name: str) -> None:
    """Refuse what the format cannot hold.

    Raises:
        ValueError: it has no name for the dtype.
    """
    if dtype not in _NAMES:
        raise ValueError(f"'{name}': safetensors has no {dtype.name}; write a .pth file")


def write(
    put: Callable,
    entries: Iterable[tuple[str, dtypes.dtype, tuple[int, ...]]],
    chunks: Callable[[str], Iterable[np.ndarray]],
    metadata: dict[str, str],
) -> None:
    """Write a file in one pass.

    Args:
        put: takes bytes, as ``file.write``.
        entries: name, dtype and shape of each tensor. The header keeps their order; the data begins with the widest
            dtypes, so that every tensor is aligned to its own size.
        chunks: a name's values, in flat pieces.
        metadata: text by name.
    """
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    rows, at = list(entries), 0
    order = sorted(rows, key=lambda row: -row[1].itemsize)
    header |= dict.fromkeys(name for name, _, _ in rows)
    for name, dtype, shape in order:
        check_dtype(dtype, name)
        end = at + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    put(struct.pack("<Q", len(text)) + text)
    for name, _, _ in order:
        for chunk in chunks(name):
            put(np.ascontiguousarray(chunk).view(np.uint8).data)
