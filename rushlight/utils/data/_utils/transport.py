"""Owns how objects travel between the DataLoader and its workers: pickles, with large arrays in shared memory.

May import the standard library and numpy.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from multiprocessing import reduction

# Below this, a copy through the pipe costs less than a file, a message and a mapping.
_LARGE = 1 << 18
_ALIGN = 64
_CAN_SHARE = hasattr(mmap, "MAP_PRIVATE") and reduction.HAVE_SEND_HANDLE


def _anonymous_file() -> int:
    """A descriptor of a file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rushlight", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(fd: int, data) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def _dump(obj, pickler=pickle.Pickler) -> tuple[bytes, list[memoryview]]:
    """Pickle ``obj``; arrays that are large stay outside, as buffers."""
    buffers: list[memoryview] = []

    def keep(buffer) -> bool:
        raw = buffer.raw()
        if not _CAN_SHARE or raw.nbytes < _LARGE:
            return True
        buffers.append(raw)
        return False

    file = io.BytesIO()
    pickler(file, 5, True, keep).dump(obj)
    return file.getvalue(), buffers


def _store(buffers: list[memoryview]) -> int:
    """Write the buffers to an anonymous file, each at an aligned place, and return its descriptor."""
    fd = _anonymous_file()
    try:
        for buffer in buffers:
            _write_all(fd, buffer)
            if gap := -buffer.nbytes % _ALIGN:
                _write_all(fd, bytes(gap))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _map(fd: int, sizes: list[int]) -> list[memoryview]:
    """The buffers in the file: private pages, so a write to an array is seen by nobody else."""
    try:
        total = sum(size + -size % _ALIGN for size in sizes)
        whole = memoryview(mmap.mmap(fd, total, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE))
    finally:
        os.close(fd)
    views, start = [], 0
    for size in sizes:
        views.append(whole[start : start + size])
        start += size + -size % _ALIGN
    return views


def send(conn, obj) -> None:
    """Send ``obj`` through a duplex connection.

    Raises:
        Exception: whatever pickling raises; nothing has been sent then.
    """
    head, buffers = _dump(obj)
    sizes = [buffer.nbytes for buffer in buffers]
    message = pickle.dumps((sizes, head), 5)
    if not buffers:
        conn.send_bytes(message)
        return
    fd = _store(buffers)
    try:
        conn.send_bytes(message)
        reduction.send_handle(conn, fd, None)
    finally:
        os.close(fd)


def receive(conn):
    """The next object that the other side sent.

    Raises:
        EOFError: the other side is gone.
    """
    sizes, head = pickle.loads(conn.recv_bytes())
    return pickle.loads(head, buffers=_map(reduction.recv_handle(conn), sizes) if sizes else [])


class Parcel:
    """Something for several processes that start now: each gets its own copy, large arrays are stored once.

    Args:
        content: any object; it is pickled while a process starts, so locks and shared values may be in it.
    """

    def __init__(self, content):
        self.content = content
        self._sizes: list[int] | None = None
        self._fd = -1

    def __reduce__(self):
        head, buffers = _dump(self.content, reduction.ForkingPickler)
        if not buffers:
            return _open_parcel, (head, [], None)
        sizes = [buffer.nbytes for buffer in buffers]
        if sizes != self._sizes:
            self.close()
            self._fd, self._sizes = _store(buffers), sizes
        return _open_parcel, (head, sizes, reduction.DupFd(self._fd))

    def close(self) -> None:
        """Give back the stored arrays; processes that have started keep theirs."""
        if self._sizes is not None:
            os.close(self._fd)
            self._sizes = None


class _Sealed:
    """A parcel that has arrived and is opened where errors can be reported."""

    def __init__(self, head: bytes, sizes: list[int], handle):
        self._head, self._sizes, self._handle = head, sizes, handle

    @property
    def content(self):
        buffers = _map(self._handle.detach(), self._sizes) if self._sizes else []
        return pickle.loads(self._head, buffers=buffers)


_open_parcel = _Sealed
