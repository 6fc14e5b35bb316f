"""Owns turning objects into the pickle that torch would have written, and collecting the storages it refers to.

May import this folder; builds on the standard library's pickler.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from rushlight import dtypes
from rushlight._device import device
from rushlight._tensor.tensor import Tensor
from rushlight.ops._op import Op

from . import names, rebuild
from .builders import FROM_TYPE
from .inert import LAYOUTS, InertTensor
from .names import TorchName, torch_name
from .numpy_pickles import EMPTY
from .stub import Stub

_CPU = "cpu"
# The C pickler checks every name against what can be imported; torch's names cannot.
_Pickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _Data:
    """A tensor without the class, gradient flag and attributes of the parameter that it belongs to."""

    __slots__ = ("tensor",)

    def __init__(self, tensor):
        self.tensor = tensor


class _StorageId:
    """A storage at the place where the pickle refers to it."""

    __slots__ = ("id",)

    def __init__(self, *parts):
        self.id = parts


class Pickler(_Pickler):
    """Writes one pickle; afterwards ``storages`` holds what it refers to.

    Args:
        file: has ``write``.
        protocol: 2 to 5.
        legacy: write the persistent ids of the format before PyTorch 1.6.

    Raises:
        RuntimeError: two tensors see one storage as different dtypes.
        PicklingError: an object cannot be saved, or has no counterpart in torch.
    """

    def __init__(self, file, protocol: int, legacy: bool = False):
        super().__init__(file, protocol)
        self._legacy = legacy
        self._keys: dict[int, str] = {}
        self._dtypes: dict[int, dtypes.dtype] = {}
        self._cells: list[Any] = []
        self.storages: dict[str, np.ndarray] = {}

    # -- storages -----------------------------------------------------------------------------------------------

    def persistent_id(self, obj):
        return obj.id if type(obj) is _StorageId else None

    def _storage(self, parts: rebuild.Description, name: TorchName | None = None) -> _StorageId:
        name = name or names.storage_name(parts.dtype)
        flat, cell = parts.flat, parts.cell
        assert flat is not None
        key = self._keys.get(id(cell))
        if key is None:
            key = self._keys[id(cell)] = str(len(self._keys))
            self._dtypes[id(cell)] = parts.dtype
            # Keeping the cell keeps its id from being used again.
            self._cells.append(cell)
            self.storages[key] = flat
        elif self._dtypes[id(cell)] is not parts.dtype:
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        count = flat.nbytes if parts.dtype not in names.STORAGE_OF_DTYPE else flat.size
        location = _CPU if parts.location == _CPU else parts.location
        extra = (None,) if self._legacy else ()
        return _StorageId("storage", name, key, location, count, *extra)

    def untyped(self, key: str) -> bool:
        """Whether a storage was written without an element type."""
        return dtypes.from_numpy(self.storages[key].dtype) not in names.STORAGE_OF_DTYPE

    # -- objects ------------------------------------------------------------------------------------------------

    def reducer_override(self, obj):
        """How torch writes this kind of object; everything else goes the standard pickler's way."""
        kind = type(obj)
        if kind in _PLAIN:
            return NotImplemented
        if kind is InertTensor:
            return self._reduce_inert(obj)
        if kind is np.ndarray and obj.dtype.hasobject and obj.shape == () and type(obj.item()) is Stub:
            return *EMPTY, obj.item().state
        if isinstance(obj, Tensor):
            return self._reduce_tensor(obj)
        if kind is _Data:
            return self._reduce_plain(obj.tensor, False)
        if kind is TorchName:
            return obj.name
        if isinstance(obj, (dtypes.dtype, dtypes.qscheme)):
            return obj.name
        if kind is dtypes.Size:
            return torch_name("torch", "Size"), (tuple(obj),)
        if kind is device:
            where = (obj.type,) if obj.index is None else (obj.type, obj.index)
            return torch_name("torch", "device"), where
        if kind is dtypes.layout:
            return torch_name("torch.serialization", "_get_layout"), (repr(obj),)
        if kind is Op:
            return obj.__name__
        if kind is FunctionType or (kind is BuiltinFunctionType and obj.__module__):
            return obj.__qualname__
        return NotImplemented

    def _reduce_tensor(self, tensor: Tensor):
        rebuild.warn_hooks(tensor)
        extra = tensor._extra_attributes()
        kind = type(tensor)
        if kind.__module__ == "rushlight.nn.parameter" and kind.__name__.startswith("Uninitialized"):
            return kind, (tensor.requires_grad,)
        if rebuild.is_parameter(tensor):
            parts = (_Data(tensor), tensor.requires_grad, OrderedDict())
            if extra:
                return torch_name("torch._utils", "_rebuild_parameter_with_state"), (*parts, extra)
            return torch_name("torch._utils", "_rebuild_parameter"), parts
        func, args = self._reduce_plain(tensor, tensor.requires_grad)
        if kind is Tensor and not extra:
            return func, args
        shown = torch_name("torch", "Tensor") if kind is Tensor else kind
        return torch_name("torch._tensor", "_rebuild_from_type_v2"), (func, shown, args, extra)

    def _reduce_plain(self, tensor: Tensor, requires_grad: bool):
        parts = rebuild.describe(tensor)
        if parts.flat is None:
            args = (parts.dtype, parts.size, parts.stride, requires_grad)
            return torch_name("torch._utils", "_rebuild_meta_tensor_no_storage"), args
        args = (self._storage(parts), parts.offset, parts.size, parts.stride, requires_grad, OrderedDict())
        if parts.dtype in names.STORAGE_OF_DTYPE:
            return torch_name("torch._utils", "_rebuild_tensor_v2"), args
        return torch_name("torch._utils", "_rebuild_tensor_v3"), (*args, parts.dtype)

    def _reduce_inert(self, tensor: InertTensor):
        parts = tensor.parts
        if tensor.kind == "nested":
            return torch_name("torch._utils", "_rebuild_nested_tensor"), tuple(parts.values())
        if tensor.kind.startswith("sparse"):
            members = [*parts.values()]
            # torch keeps the size before the note whether indices are sorted and unique.
            members.insert(2 if "indices" in parts else 3, tensor.shape)
            layout = LAYOUTS[f"torch.{tensor.kind}"]
            return torch_name("torch._utils", "_rebuild_sparse_tensor"), (layout, tuple(members))
        assert tensor.geometry is not None
        offset, size, stride = tensor.geometry
        typed = tensor.dtype.storage
        name = torch_name("torch", typed) if typed else torch_name("torch.storage", "UntypedStorage")
        storage = self._storage(rebuild.describe(parts["data"]), name)
        head = storage, offset, size, stride
        if tensor.kind == "packed":
            args = (*head, tensor.requires_grad, OrderedDict())
            if typed:
                return torch_name("torch._utils", "_rebuild_tensor_v2"), args
            named = torch_name("torch", tensor.dtype.name)
            return torch_name("torch._utils", "_rebuild_tensor_v3"), (*args, named)
        names = ("scheme", "scale", "zero_point") if "scale" in parts else ("scheme", "scales", "zero_points", "axis")
        args = (*head, tuple(parts[n] for n in names), tensor.requires_grad, OrderedDict())
        return torch_name("torch._utils", "_rebuild_qtensor"), args

    def _save_stub(self, stub: Stub) -> None:
        """Write what the stub was read from, so that a file can be changed without the classes it names."""
        if stub.call is not None:
            func, args = stub.call
            self.save(func)
            self.save(args)
            self.write(pickle.REDUCE)
        elif stub.args is None:
            self._write_name(stub, *stub.home)
            return
        else:
            self.save(torch_name(*stub.home))
            self.save(stub.args)
            if stub.kwargs and self.proto < 4:
                raise pickle.PicklingError(f"{stub!r} needs keyword arguments: save it with pickle_protocol=4")
            if stub.kwargs:
                self.save(stub.kwargs)
            self.write(pickle.NEWOBJ_EX if stub.kwargs else pickle.NEWOBJ)
        if id(stub) in self.memo:  # a member led back to the stub, which is written by now
            self.write(pickle.POP + self.get(self.memo[id(stub)][0]))
            return
        self.memoize(stub)
        if stub.items:
            self._batch_appends(stub.items)
        if stub.entries:
            self._batch_setitems(stub.entries.items())
        if stub.state is not None and not (stub.call and stub.call[0] is FROM_TYPE):
            self.save(stub.state)
            self.write(pickle.BUILD)

    dispatch = {**_Pickler.dispatch, Stub: _save_stub}

    # -- names --------------------------------------------------------------------------------------------------

    def save_global(self, obj, name=None):
        """Write a class or function by name, under torch's path where it is one of ours."""
        if type(obj) is TorchName:
            self._write_name(obj, obj.module, obj.name)
        elif isinstance(obj, (dtypes.dtype, dtypes.qscheme)):
            self._write_name(obj, "torch", obj.name)
        elif obj is Tensor:
            self._write_name(obj, "torch", "Tensor")
        elif obj is dtypes.Size:
            self._write_name(obj, "torch", "Size")
        elif str(getattr(obj, "__module__", "")).partition(".")[0] == "rushlight":
            found = names.to_torch(obj, obj.__module__, name or obj.__qualname__)
            if found is None:
                raise pickle.PicklingError(
                    f"Can't pickle {obj!r}: expected something that torch has too, received rushlight's own "
                    f"{obj.__module__}.{obj.__qualname__}. Save its state instead, for example a state_dict."
                )
            self._write_name(obj, *found)
        else:
            super().save_global(obj, name)

    def _write_name(self, obj, module: str, name: str) -> None:
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)


_PLAIN = frozenset({str, int, float, bool, type(None), dict, list, tuple, bytes, OrderedDict, _StorageId})


def byte_order() -> str:
    """This machine's, as the archive records it."""
    return sys.byteorder
