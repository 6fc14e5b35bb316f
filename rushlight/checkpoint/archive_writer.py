"""Owns writing torch's zip archives: stored records, each aligned to 64 bytes, in one forward pass.

May import only the standard library.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

ALIGNMENT = 64
_CHUNK = 1 << 20  # so that what has been summed is still in the cache when it is written
_LIMIT32 = 0xFFFFFFFF
_UTF8_AND_DESCRIPTOR = 0x0808
_UTF8 = 0x0800


class ArchiveWriter:
    """Writes records one after another, laid out byte for byte as torch does.

    Sizes and checksums follow each record's data, so nothing is read twice and the target needs no ``seek``.

    Args:
        write: takes bytes or a memoryview, for example ``file.write``.
        root: the folder inside the archive that holds every record.
    """

    def __init__(self, write, root: str = "archive"):
        self._write = write
        self._root = root
        self._position = 0
        self._central: list[bytes] = []
        self._names = hashlib.sha256()
        self._checksums = hashlib.sha256()

    def _put(self, data) -> None:
        self._write(data)
        self._position += len(data)

    def add(self, name: str, data, advance=None) -> None:
        """Write one record.

        Args:
            name: without the archive's root folder.
            data: bytes, or a flat memoryview of bytes.
            advance: called with the size of each piece that was written.
        """
        path = f"{self._root}/{name}".encode()
        data = memoryview(data)
        start, size = self._position, len(data)
        wide = size >= _LIMIT32 or start >= _LIMIT32
        extra = _zip64(size, start) if wide else b""
        # An empty record has nothing to describe, so torch's writer leaves the descriptor out.
        flags = _UTF8_AND_DESCRIPTOR if size else _UTF8
        header_end = start + 30 + len(path) + len(extra) + 4
        padding = -header_end % ALIGNMENT
        extra_local = extra + b"FB" + struct.pack("<H", padding) + b"Z" * padding
        self._put(
            struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra_local))
            + path
            + extra_local
        )
        checksum = 0
        for begin in range(0, size, _CHUNK):
            chunk = data[begin : begin + _CHUNK]
            checksum = zlib.crc32(chunk, checksum)
            self._put(chunk)
            if advance is not None:
                advance(len(chunk))
        if size:
            form = "<IIQQ" if wide else "<IIII"
            self._put(struct.pack(form, 0x08074B50, checksum, size, size))
        short_size, short_start = min(size, _LIMIT32), min(start, _LIMIT32)
        fixed = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, flags, 0, 0, 0, checksum, short_size, short_size,
                            len(path), len(extra), 0, 0, 0, 0, short_start)  # fmt: skip
        self._central.append(fixed + path + extra)
        self._names.update(path)
        self._checksums.update(struct.pack("<I", checksum))

    def finish(self) -> None:
        """Write the version, the serialization id and the directory at the end."""
        self.add("version", b"3\n")
        digits = (int.from_bytes(h.digest()[:8], "little") for h in (self._names, self._checksums))
        self.add(".data/serialization_id", "".join(f"{d:020d}" for d in digits).encode())
        start, count = self._position, len(self._central)
        for entry in self._central:
            self._put(entry)
        size = self._position - start
        end = self._position
        self._put(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x031E, 45, 0, 0, count, count, size, start))
        self._put(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        few = min(count, 0xFFFF)
        self._put(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, few, few, min(size, _LIMIT32), min(start, _LIMIT32), 0))


def _zip64(size: int, start: int) -> bytes:
    """The extra field that carries what does not fit 32 bits."""
    wide = [size, size] if size >= _LIMIT32 else []
    wide += [start] if start >= _LIMIT32 else []
    return struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
