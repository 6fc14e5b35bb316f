"""Owns writing a file so that its old contents stay until the new ones are complete and on disk.

May import only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat


@contextlib.contextmanager
def replacing(path):
    """Open a new file that takes the place of ``path`` when the block ends without an exception.

    Args:
        path: where the file is to be; see :func:`replacing_path`.

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
    with replacing_path(path) as temporary, open(temporary, "wb") as file:
        yield file


@contextlib.contextmanager
def replacing_path(path):
    """The name of an empty file, which takes the place of ``path`` when the block ends without an exception.

    The new file lies in the same folder until then, so that the last step is one rename. A killed process leaves the
    old file as it was, and perhaps a ``.name.*.tmp`` beside it. A path that is no regular file (a pipe, ``/dev/null``)
    is written directly.

    Args:
        path: where the file is to be; a symbolic link keeps pointing to where it points.

    Raises:
        RuntimeError: the folder does not exist, or the path is a folder.
    """
    path = os.path.realpath(os.fspath(path))
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise RuntimeError(
            f"cannot save to '{path}': expected a file name, received a directory. Add a file name to it."
        )
    if mode is not None and not stat.S_ISREG(mode):
        yield path
        return
    # A long name plus our suffix must stay below the limit of the file system.
    temporary = os.path.join(folder, f".{name[:180]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    # "x" never follows what somebody else put there.
    with open(temporary, "xb") as file:
        mode = os.fstat(file.fileno()).st_mode if mode is None else mode
    try:
        yield temporary
        # Whoever wrote the file may have made it anew, so the name counts.
        with open(temporary, "rb+") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
