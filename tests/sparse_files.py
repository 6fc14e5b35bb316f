"""Owns large checkpoints that cost no disk, because nothing was ever written where their values lie.

May import rushlight and numpy.
"""

from __future__ import annotations

import os

import numpy as np

from rushlight.checkpoint.archive_writer import ArchiveWriter


def write_with_holes(path, count: int) -> None:
    """A file of ``count`` tensors of 4 MiB, transposed every other one, whose contents are never written."""
    size = 1 << 20
    body = b"\x80\x02}(" + b"".join(_entry(i, size) for i in range(count)) + b"u."
    with open(path, "wb") as file:
        writer = ArchiveWriter(file.write)
        writer.add("data.pkl", body)
        zeros = np.zeros(size, np.float32)

        def sparse(data):
            if isinstance(data, memoryview):  # a piece of the zeros
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)

        writer._write = sparse
        for i in range(count):
            writer.add(f"data/{i}", memoryview(zeros).cast("B"))
        writer.finish()


def _entry(i: int, size: int) -> bytes:
    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    stride = (1, 1024) if i % 2 else (1024, 1)
    numbers = b"".join(b"M" + n.to_bytes(2, "little") for n in stride)
    pid = (
        b"("
        + text("storage")
        + b"ctorch\nFloatStorage\n"
        + text(str(i))
        + text("cpu")
        + b"J"
        + size.to_bytes(4, "little")
    )
    return (
        text(f"t{i}") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"tQK\x00M\x00\x04M\x00\x04\x86" + numbers
        + b"\x86\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip
