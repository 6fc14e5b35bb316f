"""Owns checkpoints that are spread over several files, with an index that tells which tensor is in which.

May import this folder; the index and the names of files are those of the Hugging Face libraries.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping

from . import progress, safetensors_files, ties
from .atomic import replacing
from .safetensors_files import Tensors

INDEX = ".index.json"
INDEXES = tuple(kind + INDEX for kind in (".safetensors", ".bin", ".pth", ".pt", ".ckpt"))
_LIMIT = 100 << 20
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}  # fmt: skip


def parse_size(size: int | str) -> int:
    """Bytes from a number, or from text such as ``"5GB"``.

    Raises:
        ValueError: it is neither, or not positive.

    Example:
        >>> parse_size("5GB"), parse_size("1MiB")
        (5000000000, 1048576)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size) if isinstance(size, str) else None
    if match and match[2].upper() in _UNITS:
        size = int(float(match[1]) * _UNITS[match[2].upper()])
    if type(size) is not int or size <= 0:
        raise ValueError(f"max_shard_size: expected bytes, or text such as '5GB', received {size!r}")
    return size


def read_index(path) -> tuple[dict[str, str], dict]:
    """The files that an index names, by tensor, and its metadata.

    Raises:
        RuntimeError: it is not an index, or names files outside of its folder.
    """
    if os.path.getsize(path) > _LIMIT:
        raise RuntimeError(f"'{os.fspath(path)}': expected an index of shards, received a file above {_LIMIT} bytes.")
    with open(path, encoding="utf-8") as file:
        try:
            index = json.load(file)
        except (ValueError, RecursionError) as error:
            raise RuntimeError(f"'{os.fspath(path)}': expected an index of shards in JSON ({error}).") from error
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise RuntimeError(f"'{os.fspath(path)}': expected an index with a 'weight_map' from names to files.")
    for name in set(files.values()):
        if name in ("", ".", "..") or re.search(r"[/\\:\0]", name):
            raise RuntimeError(
                f"'{os.fspath(path)}': expected names of files beside it, received {name!r}. The index is damaged, or "
                "not to be trusted."
            )
    metadata = index.get("metadata")
    return files, metadata if isinstance(metadata, dict) else {}


def load_sharded(path, load_one: Callable) -> Tensors:
    """Read every tensor that an index names.

    Args:
        path: the index, for example ``model.safetensors.index.json``.
        load_one: reads one of its files.

    Raises:
        RuntimeError: the index is broken, or a file lacks a tensor.
        FileNotFoundError: files are missing; all of them are named.
    """
    files, metadata = read_index(path)
    folder = os.path.dirname(os.path.abspath(os.fspath(path)))
    absent = [name for name in sorted(set(files.values())) if not os.path.isfile(os.path.join(folder, name))]
    if absent:
        raise FileNotFoundError(f"'{os.fspath(path)}' names files that are not beside it: {', '.join(absent)}")
    found: dict = {}
    text: dict[str, str] = {}
    for name in sorted(set(files.values())):
        part = load_one(os.path.join(folder, name))
        if not isinstance(part, Mapping):
            raise RuntimeError(f"'{name}': expected tensors by name, received {type(part).__name__}")
        text |= getattr(part, "metadata", {})
        found |= {key: value for key, value in part.items() if files.get(key, name) == name}
    lacking = [key for key in files if key not in found]
    if lacking:
        raise RuntimeError(
            f"'{os.fspath(path)}' names tensors that its files do not hold: {', '.join(lacking[:5])}"
            f"{f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''}. Download the set again."
        )
    text |= {key: value for key, value in metadata.items() if isinstance(value, str)}
    out = Tensors({key: found[key] for key in (*files, *(k for k in found if k not in files))}, metadata=text)
    out.update({tied: out[kept] for tied, kept in ties.to_restore(out, text).items()})
    return out


def save_sharded(obj, path, max_shard_size: int | str = "5GB", metadata: Mapping[str, str] | None = None) -> None:
    """Write a set of safetensors files and their index; the index comes last, so an old set stays whole until then.

    Args:
        obj: a dict of tensors, or a module.
        path: the index to write, for example ``folder/model.safetensors.index.json``, or a folder.
        max_shard_size: of one file, in bytes or as ``"5GB"``; a larger tensor gets a file of its own.
        metadata: text to keep.

    Raises:
        TypeError: ``obj`` holds something that is no tensor.
        ValueError: the size is not understood, or the name does not end like an index.
        RuntimeError: the folder does not exist.
    """
    path, limit = os.fspath(path), parse_size(max_shard_size)
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors" + INDEX)
    folder, name = os.path.split(path)
    if not name.endswith(".safetensors" + INDEX):
        raise ValueError(f"save_sharded(): expected a path that ends with '.safetensors{INDEX}', received '{path}'")
    stem = name.removesuffix(".safetensors" + INDEX)
    kept, tied = safetensors_files.entries_of(obj)
    text = safetensors_files.text_of(obj, metadata) | tied
    shards: list[dict] = [{}]
    used = 0
    for key, value in kept.items():
        size = safetensors_files.size_of(value)
        if shards[-1] and used + size > limit:
            shards.append({})
            used = 0
        shards[-1][key] = value
        used += size
    files = {}
    total = sum(map(safetensors_files.size_of, kept.values()))
    with progress.shown("saving", total) as advance:
        for i, shard in enumerate(shards):
            file = f"{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors"
            safetensors_files.write(shard, text, os.path.join(folder, file))
            files |= dict.fromkeys(shard, file)
            advance(sum(map(safetensors_files.size_of, shard.values())))
    index = {"metadata": {"total_size": total, **text}, "weight_map": dict(sorted(files.items()))}
    with replacing(path) as target:
        target.write(json.dumps(index, indent=2).encode() + b"\n")
