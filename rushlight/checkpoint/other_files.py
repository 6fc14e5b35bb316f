"""Owns telling what a file is that is no checkpoint, from its first bytes, and what to do about it.

May import nothing.
"""

from __future__ import annotations

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS. Fetch the file itself with `git lfs pull`"),
    (b"<!doctype html", "a web page. The download needs another address, or a login"),
    (b"<html", "a web page. The download needs another address, or a login"),
    (b"<?xml", "an XML document. The download needs another address, or a login"),
    (b"\x1f\x8b", "a gzip archive. Unpack it first, with gunzip or tar -xzf"),
    (b"BZh", "a bzip2 archive. Unpack it first, with bunzip2 or tar -xjf"),
    (b"\xfd7zXZ", "an xz archive. Unpack it first, with unxz or tar -xJf"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive. Unpack it first, with unzstd"),
    (b"7z\xbc\xaf", "a 7z archive. Unpack it first"),
    (b"\x93numpy", "an array of numpy. Read it with numpy.load"),
    (b"\x89hdf", "an HDF5 file, as Keras writes them. Read it with h5py"),
    (b"gguf", "a GGUF file of llama.cpp. Convert it with the gguf package"),
)
_HEAD = 64


def described(head: bytes) -> str:
    """What a file is that begins like this, with a remedy.

    Example:
        >>> described(b"<!DOCTYPE html><html>")
        'received a web page. The download needs another address, or a login.'
    """
    head = head[:_HEAD]
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for mark, text in _KINDS:
        if start.startswith(mark.lower()):
            return f"received {text}."
    if head[8:9] == b"{":
        return "received what looks like safetensors. Give it a name that ends in .safetensors."
    if not any(head):
        return "received zeros. The download broke off, or the disk was full. Download it again."
    return f"received a file of another kind, which begins with {bytes(head[:12])!r}."
