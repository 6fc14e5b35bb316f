"""Owns writing a file so that its old contents stay until the new ones are complete and on disk.

May import only the standard library.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

try:
    fcntl: Any = importlib.import_module("fcntl")
except ImportError:  # Windows
    fcntl = None
_OURS = re.compile(r"\d+-[0-9a-f]{8}\.tmp")
_ROOM = ".d"


@contextlib.contextmanager
def replacing(path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` when the block ends without an exception.

    The new file lies in the same folder until then, so that the last step is one rename. A killed process leaves the
    old file as it was, and perhaps a ``.name.PID-*.tmp`` beside it, which the next write to the same path removes. A
    path that is no regular file (a pipe, ``/dev/null``) is written directly.

    Args:
        path: where the file is to be; a symbolic link keeps pointing to where it points.

    Raises:
        RuntimeError: the folder does not exist, or the path is a folder.

    Example:
        >>> import os, tempfile
        >>> target = os.path.join(tempfile.mkdtemp(), "a.bin")
        >>> with replacing(target) as file:
        ...     _ = file.write(b"new")
        >>> os.listdir(os.path.dirname(target))
        ['a.bin']
    """
    path, mode = _target(path)
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "wb") as file:
            yield file
        return
    with _temporary(path) as file:
        yield file
        file.flush()
        _keep(file, mode)
        if fcntl is None:
            file.close()  # Windows renames no open file.
        os.replace(file.name, path)
    _sync_folder(os.path.dirname(path))


@contextlib.contextmanager
def replacing_path(path) -> Iterator[str]:
    """The name of a file for a library to write, which takes the place of ``path`` as that of :func:`replacing` does.

    Args:
        path: as for :func:`replacing`.

    Raises:
        RuntimeError: the folder does not exist, or the path is a folder.
    """
    path, mode = _target(path)
    if mode is not None and not stat.S_ISREG(mode):
        yield path
        return
    with _temporary(path) as marker:
        # A library can have temporary files of its own, so it gets a folder that goes with all that is in it.
        room = marker.name + _ROOM
        os.mkdir(room)
        try:
            written = os.path.join(room, "file")
            yield written
            with open(written, "rb+") as file:
                _keep(file, os.fstat(marker.fileno()).st_mode if mode is None else mode)
            os.replace(written, path)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    _sync_folder(os.path.dirname(path))


def _target(path) -> tuple[str, int | None]:
    """The real path, and the mode of what is there."""
    path = os.path.realpath(os.fspath(path))
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return path, None
    if stat.S_ISDIR(mode):
        raise RuntimeError(
            f"cannot save to '{path}': expected a file name, received a directory. Add a file name to it."
        )
    return path, mode


@contextlib.contextmanager
def _temporary(path: str) -> Iterator[BinaryIO]:
    """A new file beside ``path``, locked for as long as it is open, and gone at the end if it still has its name."""
    folder, name = os.path.split(path)
    # A long name plus our suffix must stay below the limit of the file system.
    stem = f".{name[:180]}."
    _remove_stale(folder, stem)
    while True:
        # "x" never follows what somebody else put there.
        file = open(os.path.join(folder, f"{stem}{os.getpid()}-{secrets.token_hex(4)}.tmp"), "xb")  # noqa: SIM115 (closed below)
        if _locked(file) is not False and os.path.exists(file.name):
            break
        file.close()  # Another writer saw it before it was locked, and took it for a dead one's.
    try:
        with file:
            yield file
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file.name)


def _locked(file) -> bool | None:
    """Take the lock that a living writer holds; None where there are no locks.

    The system drops a lock when its holder dies, so it tells more than a process number would, which can be used again
    or belong to another machine that shares the folder.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_stale(folder: str, stem: str) -> None:
    """Remove what killed writers of the same file left."""
    try:
        left = [name for name in os.listdir(folder) if name.startswith(stem) and _OURS.fullmatch(name[len(stem) :])]
    except OSError:
        return  # A folder can be writable and not readable.
    for name in left:
        marker = os.path.join(folder, name)
        # Whatever is no plain file of ours stays, and what cannot be removed does not keep anybody from saving.
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.lstat(marker).st_mode):
                with open(marker, "rb+") as file:
                    if _locked(file):
                        shutil.rmtree(marker + _ROOM, ignore_errors=True)
                        os.unlink(marker)


def _keep(file, mode: int | None) -> None:
    """Give a complete file its permissions, and wait until it is on disk."""
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), stat.S_IMODE(mode))
    os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
