"""Owns writing checkpoints in any format from any other, one tensor at a time: casts, new names, shards.

May import the sources, the checkpoint writer and its atomic files.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import dtypes
from .._device import meta
from .._tensor.half_complex import to_bits
from .._tensor.tensor import Tensor
from ..checkpoint import legacy
from ..checkpoint.archive_writer import ALIGNMENT, ArchiveWriter
from ..checkpoint.atomic import replacing
from ..checkpoint.inert import InertTensor
from ..checkpoint.names import STORAGE_OF_DTYPE, torch_name
from ..checkpoint.pickler import Pickler, byte_order
from ..checkpoint.rebuild import Description
from ..ops.creation import empty
from . import npz_file, safetensors_file
from .source import Entry, Flat, Source, forget
from .stats import counted
from .torch_file import children

TORCH = frozenset({".pth", ".pt", ".bin", ".ckpt"})
FORMATS = ("torch", "legacy", "safetensors", "npz", "orbax")
_OF_ENDING = dict.fromkeys(TORCH, "torch") | {".safetensors": "safetensors", ".npz": "npz", ".orbax": "orbax"}
_NESTED = frozenset({"torch", "legacy", "orbax"})
_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Unsuitable(ValueError):
    """A conversion that cannot be done; the message says what can."""


@dataclass
class Written:
    """What a conversion wrote.

    Attributes:
        files: the files, an index last.
        notes: what did not come along.
        overflowed: tensors in which a cast made finite numbers infinite or NaN, and how many.
    """

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overflowed: dict[str, int] = field(default_factory=dict)


def parse_size(text: str) -> int:
    """A size such as ``5GB``, ``500MB`` or ``1GiB`` in bytes.

    Raises:
        Unsuitable: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = _SIZES.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) * unit < 1:
        raise Unsuitable(f"size: expected a number and a unit, as in 5GB, 500MB or 1GiB, received {text!r}")
    return int(float(match[1]) * unit)


def parse_dtype(name: str) -> dtypes.dtype:
    """A dtype by torch's name or a short one (``bf16``, ``half``).

    Raises:
        Unsuitable: there is none, or it is no floating point dtype.
    """
    short = {
        "f16": "float16",
        "fp16": "float16",
        "bf16": "bfloat16",
        "f32": "float32",
        "fp32": "float32",
        "f64": "float64",
    }
    wanted = name.removeprefix("torch.")
    found = dtypes.ALIASES.get(wanted) or dtypes.ALL.get(short.get(wanted, wanted))
    if found is None or not found.is_floating_point:
        known = ", ".join(n for n, d in dtypes.ALL.items() if d.is_floating_point)
        raise Unsuitable(f"dtype: expected one of {known}, received {name!r}")
    return found


def renamer(maps: Iterable[str]) -> Callable[[str], str]:
    """A function from old to new names, from ``REGEX=REPLACEMENT`` texts that are applied in order.

    Raises:
        Unsuitable: a text has no '=', or its regular expression is wrong.

    Example:
        >>> renamer(["^module\\\\.=", "conv(\\\\d)=layer\\\\1"])("module.conv1.weight")
        'layer1.weight'
    """
    rules = []
    for text in maps:
        pattern, equals, replacement = text.rpartition("=")
        if not equals:
            raise Unsuitable(f"map: expected REGEX=REPLACEMENT, received {text!r}")
        try:
            rules.append((re.compile(pattern), replacement))
            rules[-1][0].sub(replacement, "")
        except re.error as error:
            raise Unsuitable(f"map: {text!r} is no regular expression with its replacement: {error}") from error

    def rename(name: str) -> str:
        for pattern, replacement in rules:
            name = pattern.sub(replacement, name)
        return name

    return rename


def convert(
    source: Source, target: str | os.PathLike, *, dtype: dtypes.dtype | None = None, shard_size: int | None = None,
    rename: Callable[[str], str] | None = None, tensors_only: bool = False, done: Callable[[int], None] | None = None,
    kind: str = "",
) -> Written:  # fmt: skip
    """Write a checkpoint in the format that the target's name asks for.

    Torch files and orbax folders keep everything that their source held in one of these: nesting, values, and in torch
    files shared storages. The flat formats, and shards, hold the tensors under their paths; names of one tensor are
    stored once.

    Args:
        source: what to write.
        target: ``.pth`` (``.pt .bin .ckpt``), ``.safetensors``, ``.npz``, or ``.orbax`` (a new folder).
        dtype: cast floating point tensors to it.
        shard_size: bytes of tensors in one file; the files get numbers, and an index beside them.
        rename: new names from old ones.
        tensors_only: write a flat dict even where the target could hold more.
        done: called with the bytes of each tensor that has been written.
        kind: one of ``FORMATS``, where the name does not tell: ``legacy`` is torch's before 1.6.

    Raises:
        Unsuitable: the target's format cannot hold what it would have to.
    """
    target = Path(target)
    kind = kind or _OF_ENDING.get(target.suffix, "")
    if kind not in FORMATS:
        raise Unsuitable(
            f"{target}: expected a name that ends in .pth, .pt, .bin, .ckpt, .safetensors, .npz or .orbax, or a format "
            f"out of {', '.join(FORMATS)}"
        )
    if shard_size is not None and kind not in ("torch", "safetensors"):
        raise Unsuitable(f"{kind} has no sharded form; shard .safetensors or .pth files")
    if not source.entries:
        raise Unsuitable(f"{source.path}: there is no tensor in it to write")
    job = _Job(source, dtype, done or (lambda count: None), kind)
    nests = kind in _NESTED and not tensors_only and shard_size is None
    if nests and source.root is not None:
        _check_buildable(source)
        if rename is not None:
            rename_keys(source.root, rename)
        job.write_object(target, source.root, job.storages())
        return job.written
    names = _new_names(source, rename or (lambda name: name))
    if source.values and not nests:
        inert = [path for path, value in source.values.items() if isinstance(value, InertTensor)]
        if inert:
            job.written.notes.append(f"sparse, quantized or nested tensors were left out: {', '.join(inert[:5])}")
        if len(source.values) > len(inert):
            job.written.notes.append(f"{counted(len(source.values) - len(inert), 'value')} other than tensors left out")
    if shard_size is None:
        job.write_flat(target, names)
    else:
        job.write_shards(target, names, shard_size)
    return job.written


def _new_names(source: Source, rename: Callable[[str], str]) -> dict[str, Entry]:
    made: dict[str, Entry] = {}
    for entry in source.entries:
        name = rename(entry.name)
        if name in made:
            raise Unsuitable(f"'{made[name].name}' and '{entry.name}' would both become '{name}'")
        made[name] = entry
    return made


def _check_buildable(source: Source) -> None:
    stubs = [f"{path or 'the file'} ({name})" for path, name in source.classes.items() if name.endswith(" (stub)")]
    if stubs:
        raise Unsuitable(
            f"{source.path} holds objects of classes that only their own code can build: {', '.join(stubs[:3])}"
            f"{' ...' if len(stubs) > 3 else ''}. Write the tensors alone with --tensors-only."
        )


def rename_keys(value: Any, rename: Callable[[str], str], _seen: set[int] | None = None) -> int:
    """Give the tensors in every dict below a value new keys; returns how many changed.

    Raises:
        Unsuitable: two names would become one.
    """
    seen = set() if _seen is None else _seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    changed = 0
    if isinstance(value, dict):
        new = {k: rename(k) if isinstance(k, str) and isinstance(v, Tensor) else k for k, v in value.items()}
        moved = {k: n for k, n in new.items() if k != n}
        changed = len(moved)
        if changed:
            if len(set(new.values())) != len(new):
                names = list(new.values())
                twice = next(n for n in names if names.count(n) > 1)
                raise Unsuitable(f"several names would become '{twice}'")
            items = [(new[k], v) for k, v in value.items()]
            value.clear()
            value.update(items)
            versions = getattr(value, "_metadata", None)  # what state_dict notes for each module, by its path
            if isinstance(versions, dict):
                renamed = {rename(k + ".").rstrip(".") if k else k: v for k, v in versions.items()}
                versions.clear()
                versions.update(renamed)
    for item in (children(value) or {}).values():
        changed += rename_keys(item, rename, seen)
    return changed


def check_matches(source: Source, rename: Callable[[str], str], target: str | os.PathLike, flat: bool) -> str:
    """Why no tensor would get another name, if that is so: keys count in a nested file, whole paths in others."""
    paths = [entry.name for entry in source.entries]
    found = any(rename(path) != path for path in paths)
    if source.root is None or flat or _OF_ENDING.get(Path(target).suffix) not in _NESTED:
        return "" if found else f"no name matches; the first ones are: {', '.join(paths[:3])}"
    keys = list(tensor_keys(source.root, set()))
    if any(rename(key) != key for key in keys):
        return ""
    if found:
        return (
            "names match as whole paths alone, and in a nested file only the keys of its dicts of tensors can change"
            f"{f', such as {keys[0]}' if keys else ''}. Add --tensors-only, which writes a flat dict of whole paths"
        )
    return f"no name matches; the first ones are: {', '.join((keys or paths)[:3])}"


def tensor_keys(value: Any, seen: set[int]) -> Iterator[str]:
    """The keys of tensors in every dict below a value."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        yield from (k for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor))
    for item in (children(value) or {}).values():
        yield from tensor_keys(item, seen)


class _LazyPickler(Pickler):
    """Writes tensors of the meta device as if their values were there.

    Args:
        flats: the values to come, by the id of the tensor's storage.
    """

    def __init__(self, file, flats: dict[int, Flat], legacy: bool):
        super().__init__(file, 2, legacy)
        self._flats = flats

    def _reduce_plain(self, tensor: Tensor, requires_grad: bool):
        flat = self._flats.get(id(tensor._storage))
        if flat is None:
            return super()._reduce_plain(tensor, requires_grad)
        kind, values = dtypes.from_numpy(flat.dtype), cast(Any, flat)
        if tensor.dtype is dtypes.complex32:
            kind = tensor.dtype
            values = cast(Any, Flat(lambda: to_bits(flat.read()), flat.size, np.dtype(np.uint32), flat.name))
        size, stride = (tuple(int(n) for n in numbers) for numbers in (tensor.shape, tensor.stride()))
        offset = int(tensor.storage_offset())
        parts = Description(tensor._storage, values, kind, offset, size, stride, requires_grad, "cpu")
        args = (self._storage(parts), offset, size, stride, requires_grad, OrderedDict())
        if kind in STORAGE_OF_DTYPE:
            return torch_name("torch._utils", "_rebuild_tensor_v2"), args
        return torch_name("torch._utils", "_rebuild_tensor_v3"), (*args, kind)


class _Job:
    """One conversion under way."""

    def __init__(self, source: Source, dtype: dtypes.dtype | None, done: Callable[[int], None], kind: str):
        self.source, self.dtype, self.done, self.kind = source, dtype, done, kind
        self.written = Written()

    def target_dtype(self, dtype: dtypes.dtype) -> dtypes.dtype:
        return self.dtype if self.dtype is not None and dtype.is_floating_point else dtype

    def cast(self, name: str, values: np.ndarray) -> np.ndarray:
        """Values in the dtype they are written in; counts what does not fit."""
        wanted = self.target_dtype(dtypes.from_numpy(values.dtype)).np
        if values.dtype == wanted:
            return values
        with np.errstate(all="ignore"):
            made = values.astype(wanted)
            if wanted.itemsize < values.dtype.itemsize:
                lost = int((np.isfinite(values) & ~np.isfinite(made)).sum())
                if lost:
                    self.written.overflowed[name] = self.written.overflowed.get(name, 0) + lost
        forget(values)
        return made

    def chunks(self, name: str, entry: Entry) -> Iterable[np.ndarray]:
        """A tensor's values in pieces, as they are written."""
        for chunk in self.source.chunks(entry):
            yield self.cast(name, chunk)
        self.done(entry.nbytes)

    # -- formats that hold objects ----------------------------------------------------------------------------------

    def write_object(self, target: Path, root: Any, flats: dict[int, Flat]) -> None:
        """Write an object whose tensors' values are still in the source."""
        if self.kind == "orbax":
            try:
                _format("orbax_folder").write(target, root, flats, self.done)
            except TypeError as error:
                raise Unsuitable(f"{error} Or write the tensors alone with --tensors-only.") from error
            self.written.files.append(target)
            return
        body = io.BytesIO()
        pickler = _LazyPickler(body, flats, self.kind == "legacy")
        pickler.dump(root)
        with replacing(target) as file:
            if self.kind == "legacy":
                legacy.finish(pickler, body, file.write, self._contents, 2)
            else:
                self._write_zip(target, pickler, body, file.write)
        self.written.files.append(target)

    def _write_zip(self, target: Path, pickler: Pickler, body: io.BytesIO, write: Callable) -> None:
        archive = ArchiveWriter(write, target.stem if target.stem.isascii() and target.stem.strip(".") else "archive")
        archive.add("data.pkl", body.getbuffer())
        archive.add(".format_version", b"1")
        archive.add(".storage_alignment", str(ALIGNMENT).encode())
        archive.add("byteorder", byte_order().encode())
        for key, flat in pickler.storages.items():
            with self._contents(flat) as values:
                archive.add(f"data/{key}", values.view(np.uint8))
        archive.finish()

    @contextlib.contextmanager
    def _contents(self, flat: Any) -> Iterator[np.ndarray]:
        """A storage's values while they are written."""
        values = flat.read() if isinstance(flat, Flat) else flat
        yield values
        self.done(values.nbytes)
        forget(values)

    def storages(self) -> dict[int, Flat]:
        """The values of the storages under the source's own object, as they are written."""
        return {
            key: Flat(
                lambda flat=flat: self.cast(flat.name, flat.read()),
                flat.size,
                self.target_dtype(dtypes.from_numpy(flat.dtype)).np,
                flat.name,
            )
            for key, flat in self.source.flats.items()
        }

    def write_flat(self, target: Path, names: dict[str, Entry]) -> dict[str, str]:
        """Write one file that holds tensors by name; returns the names that are only noted."""
        if self.kind in _NESTED:
            self._write_flat_object(target, names)
            return {}
        first: dict[tuple, str] = {}
        tied: dict[str, str] = {}
        if self.kind == "safetensors":
            for name, entry in names.items():
                if first.setdefault(entry.place, name) != name:
                    tied[name] = first[entry.place]
        kept = {name: e for name, e in names.items() if name not in tied}
        self._note_overlaps(kept)
        rows = [(name, self.target_dtype(e.dtype), e.shape) for name, e in kept.items()]
        if self.kind == "npz":
            with replacing(target) as file:
                npz_file.write(file, rows, lambda name: self.chunks(name, kept[name]))
        else:
            metadata = {"format": "pt"} | self.source.metadata | tied
            with replacing(target) as file:
                safetensors_file.write(file.write, rows, lambda name: self.chunks(name, kept[name]), metadata)
        self.written.files.append(target)
        return tied

    def _note_overlaps(self, names: dict[str, Entry]) -> None:
        places: dict[Any, list[str]] = {}
        for name, entry in names.items():
            places.setdefault(entry.storage, []).append(name)
        split = [group for group in places.values() if len(group) > 1]
        if split:
            some = ", ".join(split[0][:3])
            self.written.notes.append(
                f"{counted(len(split), 'storage')} that several names shared became separate: {some}"
            )

    def _write_flat_object(self, target: Path, names: dict[str, Entry]) -> None:
        root: dict[str, Tensor] = OrderedDict()
        flats: dict[int, Flat] = {}
        made: dict[tuple, Tensor] = {}
        for name, entry in names.items():
            tensor = made.get(entry.place)
            if tensor is None:
                tensor = made[entry.place] = _stand_in(entry)
                flats[id(tensor._storage)] = Flat(
                    lambda entry=entry, name=name: _joined(
                        self.chunks(name, entry), entry.count, self.target_dtype(entry.dtype).np
                    ),
                    entry.count,
                    self.target_dtype(entry.dtype).np,
                    name,
                )
            root[name] = tensor
        done, self.done = self.done, lambda count: None
        self.write_object(target, root, flats)
        self.done = done

    def write_shards(self, target: Path, names: dict[str, Entry], limit: int) -> None:
        """Write numbered files of at most so many bytes of tensors, and the index that tells who is where."""
        shards: list[dict[str, Entry]] = [{}]
        room, homes, total = limit, {}, 0
        for name, entry in names.items():
            size = entry.count * self.target_dtype(entry.dtype).itemsize
            home = homes.get(entry.place)
            if home is None:
                if size > room and shards[-1]:
                    shards.append({})
                    room = limit
                room -= size
                total += size
                home = homes[entry.place] = len(shards) - 1
            shards[home][name] = entry
        table = {}
        for i, shard in enumerate(shards):
            file = target.with_name(f"{target.stem}-{i + 1:05d}-of-{len(shards):05d}{target.suffix}")
            left_out = self.write_flat(file, shard)
            table |= {name: file.name for name in shard if name not in left_out}
        index = target.with_name(target.name + ".index.json")
        text = json.dumps(
            {"metadata": {"total_size": total}, "weight_map": {n: table[n] for n in names if n in table}}, indent=2
        )
        with replacing(index) as file:
            file.write(text.encode() + b"\n")
        self.written.files.append(index)


def _format(name: str) -> Any:
    return importlib.import_module(f"{__package__}.{name}")


def _stand_in(entry: Entry) -> Tensor:
    """A dense tensor of the meta device."""
    return empty(entry.shape, dtype=entry.dtype, device=meta)


def _joined(chunks: Iterable[np.ndarray], count: int, dtype: np.dtype) -> np.ndarray:
    made, at = np.empty(count, dtype), 0
    for chunk in chunks:
        made[at : at + chunk.size] = chunk
        at += chunk.size
    return made
