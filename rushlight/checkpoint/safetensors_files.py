"""Owns safetensors files in both directions: the library checks and writes them, tensors here wait for their first use.

May import this folder; ``safetensors`` is imported when a file is read or written.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from rushlight import dtypes
from rushlight._device import cpu
from rushlight._tensor import views
from rushlight._tensor.tensor import Tensor

from . import progress, rebuild, ties
from .archive_reader import aligned_bytes, fill
from .atomic import replacing_path
from .brief import brief
from .inert import FOREIGN, ForeignDtype, InertTensor
from .storages import LoadedStorage, StorageType, placement

# The library's name -> ours.
_DTYPES: dict[str, Any] = {
    "BOOL": dtypes.bool_, "U8": dtypes.uint8, "I8": dtypes.int8, "U16": dtypes.uint16, "I16": dtypes.int16,
    "U32": dtypes.uint32, "I32": dtypes.int32, "U64": dtypes.uint64, "I64": dtypes.int64, "F16": dtypes.float16,
    "BF16": dtypes.bfloat16, "F32": dtypes.float32, "F64": dtypes.float64, "C64": dtypes.complex64,
    "F8_E4M3": dtypes.float8_e4m3fn, "F8_E5M2": dtypes.float8_e5m2, "F8_E8M0": dtypes.float8_e8m0fnu,
    "F8_E4M3FNUZ": dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": dtypes.float8_e5m2fnuz,
    "F4": FOREIGN["float4_e2m1fn_x2"],
}  # fmt: skip
_UNTYPED = StorageType("storage.UntypedStorage", None)


def optional(package: str, what: str, extra: str = "checkpoint"):
    """Import a package that one of the extras brings.

    Args:
        package: its name.
        what: what needs it.
        extra: which extra.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {package.partition('.')[0]!r}, which is not installed: "
            f"pip install 'rushlight[{extra}]'"
        ) from error


class Tensors(OrderedDict):
    """Tensors by name, as a safetensors file holds them, with the file's text in ``metadata``."""

    def __init__(self, *args, metadata: dict[str, str] | None = None):
        super().__init__(*args)
        self.metadata: dict[str, str] = {} if metadata is None else metadata


def load_file(path, map_location=None, lazy: bool = False) -> Tensors:
    """Read a safetensors file; names that the file notes as tied are one tensor.

    Args:
        path: the file.
        map_location: as for ``load``.
        lazy: map the file, and let tensors wait for their first use.

    Raises:
        RuntimeError: the file is broken.
        FileNotFoundError, IsADirectoryError: there is no file.

    Example:
        >>> import os, tempfile
        >>> import rushlight as torch
        >>> path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
        >>> save_file({"x": torch.ones(2)}, path, metadata={"note": "kept"})
        >>> found = load_file(path)
        >>> found["x"], found.metadata["note"]
        (tensor([1., 1.]), 'kept')
    """
    library = optional("safetensors", "reading a safetensors file")
    with open(path, "rb") as file:
        try:
            # The library checks the header: its size, names, types, and that nothing overlaps or is left over.
            with library.safe_open(path, framework="np"):
                pass
        except library.SafetensorError as error:
            raise RuntimeError(
                f"cannot read '{os.fspath(path)}': expected a safetensors file, received a broken one ({error}). "
                "Save or download it again."
            ) from error
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length).decode("utf-8"))
        begin = 8 + length
        mapped = np.memmap(path, np.uint8, "r").view(np.ndarray) if lazy and os.path.getsize(path) > begin else None
        out = Tensors(metadata=entries.pop("__metadata__", None))
        place = placement(map_location)
        for name, entry in entries.items():
            start, stop = entry["data_offsets"]
            if mapped is not None:
                raw = mapped[begin + start : begin + stop]
            else:
                raw = aligned_bytes(stop - start)
                file.seek(begin + start)
                if not fill(file, raw):
                    raise RuntimeError(f"cannot read '{os.fspath(path)}': it ends early. Save or download it again.")
            out[name] = _make(entry, raw, place, mapped is not None, path)
    out.update({tied: out[kept] for tied, kept in ties.to_restore(out, out.metadata).items()})
    return out


def _make(entry: dict, raw: np.ndarray, place, lazy: bool, path):
    shape, dtype = tuple(entry["shape"]), _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise RuntimeError(
            f"cannot read '{os.fspath(path)}': expected tensors of {', '.join(_DTYPES)}, received {entry['dtype']}. "
            "Convert them with the tool that wrote the file."
        )
    storage = LoadedStorage(raw, _UNTYPED, cpu, raw.size, lazy=lazy)
    if isinstance(dtype, ForeignDtype):
        shape = (*shape[:-1], shape[-1] // 2)
    return rebuild.make_tensor(place(storage, "cpu"), 0, shape, views.contiguous_strides(shape), False, dtype=dtype)


# -- writing --------------------------------------------------------------------------------------------------------


def entries_of(obj) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors to write, and for each name that is left out the name of the same tensor that stays.

    Args:
        obj: a state dict, or a module.

    Raises:
        TypeError: something is not a tensor.
    """
    if not isinstance(obj, Mapping) and callable(getattr(obj, "state_dict", None)):
        obj = obj.state_dict()
    if not isinstance(obj, Mapping):
        raise TypeError(
            f"safetensors holds tensors by name alone: expected a dict of tensors, received {type(obj).__name__}. Save "
            "other objects to a .pt file."
        )
    odd = [k for k, v in obj.items() if not isinstance(k, str) or not _writable(v)]
    if odd:
        raise TypeError(
            f"safetensors holds tensors by name alone: {odd[0]!r} is {type(obj[odd[0]]).__name__}"
            f"{f' (and {len(odd) - 1} more entries are no tensors)' if len(odd) > 1 else ''}. Save obj['state_dict'] "
            "or the like, call .dense() on sparse and quantized tensors, or save everything to a .pt file."
        )
    kept: dict[str, Any] = {}
    tied: dict[str, str] = {}
    seen: dict[tuple, str] = {}
    for name, value in obj.items():
        first = seen.setdefault(_identity(value), name)
        if first == name:
            kept[name] = value
        else:
            tied[name] = first
    return kept, tied


def _writable(value) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, InertTensor) and value.kind == "packed")


def _identity(value) -> tuple:
    if isinstance(value, InertTensor):
        return (id(value),)
    geometry = tuple(value.shape), value.stride(), value.storage_offset(), value.dtype
    # Two empty tensors have no memory in common.
    return (id(value._storage), *geometry) if value.numel() else (id(value),)


def size_of(value) -> int:
    """Bytes that a tensor takes in a file."""
    return size_of(value.parts["data"]) if isinstance(value, InertTensor) else value.numel() * value.dtype.itemsize


def save_file(obj, path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, atomically; of names that are one tensor the first is written, the others are noted.

    Args:
        obj: a dict of tensors, or a module.
        path: where to.
        metadata: text to keep in the file; default: that of ``obj``, where it was read from such a file.

    Raises:
        TypeError: ``obj`` holds something else, or the metadata is not text.
        RuntimeError: the folder does not exist, the path is a folder, or a dtype is not known to the format.
    """
    kept, tied = entries_of(obj)
    write(kept, text_of(obj, metadata) | tied, path)


def text_of(obj, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The text to write: given, or kept from reading, without what a fresh look at the ties replaces."""
    found = dict(getattr(obj, "metadata", None) or {}) if metadata is None else dict(metadata)
    if any(not isinstance(part, str) for item in found.items() for part in item):
        raise TypeError(
            f"safetensors metadata: expected text by name, received {brief(found)}. Use json.dumps on values."
        )
    names = obj if isinstance(obj, Mapping) else ()
    # Other libraries look for this note before they read a file.
    return {"format": "pt"} | ties.without(names, found)


def write(kept: dict[str, Any], metadata: dict[str, str], path) -> None:
    """Write tensors that do not share memory."""
    library = optional("safetensors", "writing a safetensors file")
    hosts, specs = [], {}
    for name, value in kept.items():
        host, dtype, shape = _host(name, value)
        hosts.append(host)
        specs[name] = library.TensorSpec(dtype=dtype, shape=shape, data_ptr=host.ctypes.data, data_len=host.nbytes)
    # The library tells nothing before it is done.
    with replacing_path(path) as temporary, progress.waiting("saving", sum(host.nbytes for host in hosts)):
        try:
            library.serialize_file(specs, temporary, metadata)
        except library.SafetensorError as error:
            raise OSError(f"cannot write '{os.fspath(path)}': {error}. The old file, if any, is as it was.") from error
    del hosts


def _host(name: str, value) -> tuple[np.ndarray, str, tuple]:
    tensor = value.parts["data"] if isinstance(value, InertTensor) else value
    if tensor.is_meta:
        raise RuntimeError(f"cannot save '{name}': expected a tensor with contents, received one on the meta device.")
    odd = tensor.dtype in (dtypes.complex32, dtypes.complex128)
    if odd or (isinstance(value, InertTensor) and value.dtype.name[:6] != "float4"):
        raise RuntimeError(
            f"cannot save '{name}': safetensors has no {value.dtype!r}. Convert it, or save it to a .pt file."
        )
    host = np.ascontiguousarray(np.asarray(tensor._array()))
    if not np.little_endian:
        host = host.byteswap()
    return host, value.dtype.name, tuple(tensor.shape)
