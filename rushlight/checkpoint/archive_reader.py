"""Owns reading torch's zip archives: the record table, the checks that make it trustworthy, and aligned buffers.

May import numpy and the standard library. Every record is checked against the file's size and its neighbours first.
"""

from __future__ import annotations

import bisect
import mmap
import os
import queue
import struct
import threading
import zipfile
import zlib

import numpy as np

_ALIGNMENT = 64
_CHUNK = 1 << 22


def _broken(what: str) -> RuntimeError:
    # torch's own words come first, because users match on them.
    return RuntimeError(
        f"PytorchStreamReader failed reading zip archive: {what}. Expected an archive written by torch.save; the file "
        "is incomplete or was changed after saving. Save or download it again."
    )


# Linux alone can be asked to make the pages of a buffer all at once.
_POPULATED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE if hasattr(mmap, "MAP_POPULATE") else None
_LARGE = 1 << 20


def aligned_bytes(count: int) -> np.ndarray:
    """An uninitialised buffer that starts at a multiple of 64, as XLA needs in order to use it without a copy."""
    if _POPULATED is not None and count >= _LARGE:
        # numpy would ask for huge pages, and filling those for the first time takes two to three times as long.
        return np.frombuffer(mmap.mmap(-1, count, flags=_POPULATED), np.uint8)
    raw = np.empty(count + _ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % _ALIGNMENT
    return raw[skip : skip + count]


def remaining(file) -> int:
    """Bytes from the file's position to its end."""
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    end = file.tell() if end is None else end
    file.seek(here)
    return end - here


def fill(file, buffer: np.ndarray, each=None) -> bool:
    """Read into the buffer until it is full; False when the file ends first.

    Args:
        file: at the right position.
        buffer: of bytes.
        each: called with every piece that was read.
    """
    view, done = buffer.data, 0
    direct = getattr(file, "readinto", None)
    while done < len(view):
        if direct is not None:
            count = direct(view[done : done + _CHUNK])
        else:
            chunk = file.read(min(_CHUNK, len(view) - done))
            count = len(chunk)
            view[done : done + count] = chunk
        if not count:
            return False
        if each is not None:
            each(view[done : done + count])
        done += count
    return True


def _refuse_others(names: list[str]) -> None:
    """Name what else is a zip archive, before its records are held against what torch.save writes."""
    if any(name.endswith("/constants.pkl") for name in names):
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. rushlight does not "
            "run TorchScript: expected a file of torch.save, received one of torch.jit.save. In PyTorch, save "
            "torch.jit.load(path).state_dict() with torch.save, and load that."
        )
    if all(name.endswith(".npy") for name in names):
        raise RuntimeError(
            "PytorchStreamReader failed reading zip archive: expected an archive written by torch.save, received one "
            "of numpy.savez. Read it with numpy.load, or name it *.npz for rushlight's commands."
        )


class ArchiveReader:
    """The records of one archive; data is read when asked for.

    Args:
        file: seekable and readable, in binary mode.
        mapped: the whole file as a ``uint8`` array, to hand out views of it instead of copies.

    Raises:
        RuntimeError: the archive is broken, compressed, encrypted, or its records overlap.
    """

    def __init__(self, file, mapped: np.ndarray | None = None):
        self._file = file
        self._mapped = mapped
        try:
            with zipfile.ZipFile(file) as archive:
                infos, self._end = archive.infolist(), archive.start_dir
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError) as error:
            raise _broken(f"failed finding central directory ({error})") from error
        if not infos:
            raise _broken("it holds no records")
        self.root = infos[0].filename.partition("/")[0]
        _refuse_others([info.filename for info in infos])
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            self._admit(info)
        self._starts = sorted(info.header_offset for info in infos)
        if len(set(self._starts)) != len(infos):
            raise _broken("records overlap")
        # torch can be told to write no checksums; then all of them are zero.
        self._checked = any(info.CRC for info in infos)
        self._sums = _Checksums()

    def verify(self) -> None:
        """Wait for the checksums of all that was read.

        Raises:
            RuntimeError: one does not match.
        """
        wrong = self._sums.wrong()
        if wrong is not None:
            raise _broken(f"record {wrong!r} does not match its checksum")

    def close(self) -> None:
        """Stop looking at checksums."""
        self._sums.close()

    def _admit(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        root, _, rest = name.partition("/")
        odd = "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in rest.split("/"))
        if root != self.root or odd or root in ("", ".", ".."):
            raise _broken(f"record name {name!r} is not of the form 'archive/name'")
        if rest in self._infos:
            raise _broken(f"record {name!r} occurs twice")
        if info.flag_bits & 1:
            raise _broken(f"record {name!r} is encrypted")
        if info.compress_type != zipfile.ZIP_STORED:
            raise RuntimeError(
                f"PytorchStreamReader failed reading zip archive: record {name!r} is compressed. Expected stored "
                "records, as torch.save writes them, received compressed ones, whose real size cannot be trusted. "
                "Extract the archive and pack it again without compression: zip -0 -r new.pt folder."
            )
        if info.compress_size != info.file_size or not 0 <= info.header_offset < self._end:
            raise _broken(f"record {name!r} has sizes that contradict each other")
        self._infos[rest] = info

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def names(self) -> list[str]:
        """The records' names, without the root folder."""
        return list(self._infos)

    def size(self, name: str) -> int:
        """Bytes in a record.

        Raises:
            RuntimeError: there is no such record.
        """
        info = self._infos.get(name)
        if info is None:
            raise RuntimeError(
                f"PytorchStreamReader failed locating file {name}: file not found. Expected an archive written by "
                f"torch.save, received one with {len(self._infos)} records without it."
            )
        return info.file_size

    def _locate(self, name: str) -> int:
        """Where a record's data begins, once its header and its end have been checked."""
        size = self.size(name)
        info = self._infos[name]
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise _broken(f"record {name!r} has no header")
        name_size, extra_size = struct.unpack("<HH", header[26:])
        begin = info.header_offset + 30 + name_size + extra_size
        after = bisect.bisect_right(self._starts, info.header_offset)
        limit = self._starts[after] if after < len(self._starts) else self._end
        if begin + size > limit:
            raise _broken(f"record {name!r} overlaps what follows it")
        if self._file.read(name_size) != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
            raise _broken(f"record {name!r} has another name in its header")
        return begin

    def array(self, name: str) -> np.ndarray:
        """A record's bytes, aligned where it is read; a view of the file where that is mapped (unchecked, then)."""
        begin, size = self._locate(name), self.size(name)
        if self._mapped is not None:
            return self._mapped[begin : begin + size]
        buffer = aligned_bytes(size)
        self._file.seek(begin)
        large = self._checked and size >= _CHUNK
        if not fill(self._file, buffer, self._sums.add if large else None):
            raise _broken(f"record {name!r} is cut short")
        if large:
            self._sums.end(name, self._infos[name].CRC)
        elif self._checked and zlib.crc32(buffer.data) != self._infos[name].CRC:
            raise _broken(f"record {name!r} does not match its checksum")
        return buffer

    def read(self, name: str) -> bytes:
        """A record's bytes, as a copy, with their checksum seen to."""
        data = self.array(name).tobytes()
        self.verify()
        return data


class _Checksums:
    """Computes the checksums of large records in a thread, while the next bytes are read."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._wrong: str | None = None

    def add(self, piece) -> None:
        """Go on with the record whose pieces these are."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._queue.put(piece)

    def end(self, name: str, wanted: int) -> None:
        """That was the whole record."""
        self._queue.put((name, wanted))

    def _work(self) -> None:
        found = 0
        while True:
            job = self._queue.get()
            if job is None:
                return
            if isinstance(job, tuple):
                if found != job[1] and self._wrong is None:
                    self._wrong = job[0]
                found = 0
            else:
                found = zlib.crc32(job, found)

    def wrong(self) -> str | None:
        """The first record that did not match, once all were looked at."""
        self.close()
        return self._wrong

    def close(self) -> None:
        """Let the thread finish what it has."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
