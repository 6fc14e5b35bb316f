"""Owns the closed table of what a pickle may call: for each name in a file, a function that checks and makes one kind.

May import this folder; nothing is imported or called because a file says so.
"""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from rushlight import dtypes
from rushlight._device import device
from rushlight._tensor.tensor import Tensor

from . import inert, names, numpy_pickles, plain_types, rebuild
from .brief import brief
from .storages import StorageType
from .stub import Stub
from .unpickler import check_key

# Each builder takes (args, kwargs), checks them, and makes one object.


def bad(what: str, args) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"{what} in a checkpoint: received unexpected arguments {brief(args)}. The file is damaged."
    )


def _collection(kind):
    def build(args, kwargs):
        if len(args) > 1 or kwargs or (args and not isinstance(args[0], (list, tuple, dict, set, frozenset))):
            raise bad(kind.__name__, args)
        if kind is Counter and args and not isinstance(args[0], dict):
            raise bad(kind.__name__, args)
        for item in args[0] if args else ():
            if issubclass(kind, dict) and not isinstance(args[0], dict):
                if not isinstance(item, (list, tuple)) or len(item) != 2:
                    raise bad(kind.__name__, args)
                item = item[0]
            if kind not in (list, tuple):
                check_key(item)
        return kind(*args)

    return build


def _numbers(kind, limit):
    def build(args, kwargs):
        if len(args) > limit or kwargs or any(type(a) not in (int, float, bool, type(None)) for a in args):
            raise bad(kind.__name__, args)
        return kind(*args)

    return build


def _default_dict(args, kwargs):
    # A stub is a factory that says what is missing when it is asked to make something.
    known = not args or type(args[0]) is Stub or args[0] in (None, dict, list, set, int, float, str, bool, tuple)
    if kwargs or len(args) > 1 or not known:
        raise bad("defaultdict", args)
    return defaultdict(*args)


def _bytes_like(kind):
    def build(args, kwargs):
        if kwargs or len(args) > 2 or (args and not isinstance(args[0], (bytes, str))):
            raise bad(kind.__name__, args)
        if not args:
            return kind()
        return kind(args[0] if isinstance(args[0], bytes) else _encode(args, kwargs))

    return build


def _encode(args, kwargs):
    if (
        kwargs
        or len(args) != 2
        or not isinstance(args[0], str)
        or args[1] not in ("latin1", "latin-1", "ascii", "utf-8")
    ):
        raise bad("bytes", args)
    return args[0].encode(args[1])


def _size(args, kwargs):
    if kwargs or len(args) > 1 or (args and any(type(n) is not int for n in args[0])):
        raise bad("torch.Size", args)
    return dtypes.Size(*args)


def _device(args, kwargs):
    if kwargs or not 1 <= len(args) <= 2:
        raise bad("torch.device", args)
    return device(*args)


def _layout(args, kwargs):
    if kwargs or len(args) != 1 or type(args[0]) is not str or args[0] not in inert.LAYOUTS:
        raise bad("torch.layout", args)
    return inert.LAYOUTS[args[0]]


def _tensor_v2(args, kwargs):
    if kwargs or not 6 <= len(args) <= 7:
        raise bad("tensor", args)
    return rebuild.make_tensor(*args[:5], flags=args[6] if len(args) == 7 else None)


def _tensor_v3(args, kwargs):
    if kwargs or not 7 <= len(args) <= 8:
        raise bad("tensor", args)
    return rebuild.make_tensor(*args[:5], dtype=args[6], flags=args[7] if len(args) == 8 else None)


def _tensor_v1(args, kwargs):
    if kwargs or len(args) != 4:
        raise bad("tensor", args)
    storage, offset, size, stride = args
    return rebuild.make_tensor(storage, offset, size, stride, False)


def _meta(args, kwargs):
    if kwargs or len(args) != 4:
        raise bad("meta tensor", args)
    return rebuild.make_meta(*args)


def _parameter(args, kwargs):
    if kwargs or not 1 <= len(args) <= 3:
        raise bad("parameter", args)
    return rebuild.make_parameter(args[0], args[1] if len(args) > 1 else True)


def _parameter_with_state(args, kwargs):
    if kwargs or len(args) != 4:
        raise bad("parameter", args)
    return rebuild.set_attributes(rebuild.make_parameter(*args[:2]), args[3])


def _quantized(args, kwargs):
    if kwargs or len(args) != 7:
        raise bad("quantized tensor", args)
    return rebuild.make_quantized(*args[:6])


def _sparse(args, kwargs):
    if kwargs or len(args) != 2:
        raise bad("sparse tensor", args)
    return inert.sparse(*args)


def _nested(args, kwargs):
    if kwargs or len(args) != 4:
        raise bad("nested tensor", args)
    return inert.nested(*args)


def _from_accelerator(args, kwargs):
    # TPUs and their like save the contents as they are on the host, and the dtype that they had.
    if kwargs or len(args) != 4 or not isinstance(args[0], (Tensor, np.ndarray)):
        raise bad("tensor", args)
    return rebuild.make_converted(args[0], args[1], args[3])


FROM_TYPE = names.torch_name("torch._tensor", "_rebuild_from_type_v2")


def _from_type(args, kwargs):
    if kwargs or len(args) != 4 or not isinstance(args[2], tuple):
        raise bad("tensor", args)
    func, kind, parts, state = args
    if type(func) is Stub:
        # A tensor class that rebuilds itself: what it would have been made from stays readable.
        name = kind.class_name if type(kind) is Stub else "torch.Tensor"
        return Stub(name, parts, state=state, call=(FROM_TYPE, args))
    if not any(func is one for one in _TENSOR_BUILDERS):
        raise bad("tensor", args)
    tensor = BUILDERS[id(func)](parts, {})
    if not isinstance(tensor, Tensor):
        return tensor
    if kind is not Tensor and kind is not VALUES["torch.nn.parameter.Parameter"]:
        tensor = rebuild.as_subclass(tensor, kind)
    return rebuild.set_attributes(tensor, state)


def _by_name(module: str, table: dict) -> dict:
    return {f"{module}.{name}": (names.torch_name(module, name), build) for name, build in table.items()}


_REBUILD = _by_name(
    "torch._utils",
    {
        "_rebuild_tensor": _tensor_v1,
        "_rebuild_tensor_v2": _tensor_v2,
        "_rebuild_tensor_v3": _tensor_v3,
        "_rebuild_parameter": _parameter,
        "_rebuild_parameter_with_state": _parameter_with_state,
        "_rebuild_meta_tensor_no_storage": _meta,
        "_rebuild_qtensor": _quantized,
        "_rebuild_sparse_tensor": _sparse,
        "_rebuild_nested_tensor": _nested,
        "_rebuild_device_tensor_from_cpu_tensor": _from_accelerator,
        "_rebuild_device_tensor_from_numpy": _from_accelerator,
        "_rebuild_xla_tensor": _from_accelerator,
    },
)
_TENSOR_BUILDERS = [value for value, _ in _REBUILD.values()]
_CALLABLE = {
    **_REBUILD,
    **_by_name("torch._tensor", {"_rebuild_from_type_v2": _from_type}),
    **_by_name("torch.nn.parameter", {"Parameter": _parameter}),
    **_by_name("torch.serialization", {"_get_layout": _layout}),
    **_by_name("_codecs", {"encode": _encode}),
    "torch.Size": (dtypes.Size, _size),
    "torch.device": (device, _device),
    "collections.OrderedDict": (OrderedDict, _collection(OrderedDict)),
    "collections.Counter": (Counter, _collection(Counter)),
    "collections.defaultdict": (defaultdict, _default_dict),
    "builtins.set": (set, _collection(set)),
    "builtins.frozenset": (frozenset, _collection(frozenset)),
    "builtins.list": (list, _collection(list)),
    "builtins.tuple": (tuple, _collection(tuple)),
    "builtins.dict": (dict, _collection(dict)),
    "builtins.complex": (complex, _numbers(complex, 2)),
    "builtins.slice": (slice, _numbers(slice, 3)),
    "builtins.range": (range, _numbers(range, 3)),
    "builtins.bytes": (bytes, _bytes_like(bytes)),
    "builtins.bytearray": (bytearray, _bytes_like(bytearray)),
    "numpy.dtype": (np.dtype, numpy_pickles.make_dtype),
}
for _home in ("numpy.core", "numpy._core"):
    _CALLABLE |= _by_name(
        f"{_home}.multiarray", {"scalar": numpy_pickles.make_scalar, "_reconstruct": numpy_pickles.make_empty}
    )
    _CALLABLE |= _by_name(f"{_home}.numeric", {"_frombuffer": numpy_pickles.from_buffer})

# What REDUCE may call: by identity, so that nothing in a file can pass for one of these.
BUILDERS = {id(value): build for value, build in (*_CALLABLE.values(), *plain_types.TYPES.values())}

VALUES: dict[str, Any] = {name: value for name, (value, _) in _CALLABLE.items()}
VALUES |= {"torch.Tensor": Tensor, "numpy.ndarray": np.ndarray, "builtins.int": int, "builtins.float": float}
VALUES |= {"torch.complex32": dtypes.complex32}
VALUES |= {f"torch.{name}": d for name, d in (dtypes.ALL | inert.FOREIGN | dtypes.QUANTIZED | dtypes.SCHEMES).items()}
_STORAGES: list[tuple] = [(name, d, None) for name, d in names.STORAGE_DTYPES.items()]
_STORAGES += [(one.storage, one.carrier, one) for one in inert.FOREIGN.values() if one.storage]
VALUES |= {f"{home}.{row[0]}": StorageType(*row) for row in _STORAGES for home in ("torch", "torch.cuda")}
VALUES["torch.storage.UntypedStorage"] = StorageType("storage.UntypedStorage", None)
VALUES["torch.UntypedStorage"] = VALUES["torch.storage.UntypedStorage"]

# What ``weights_only=False`` finds besides.
MORE_VALUES: dict[str, Any] = {name: value for name, (value, _) in plain_types.TYPES.items()} | plain_types.VALUES
MORE_VALUES |= {
    f"numpy.{kind.__name__}": kind
    for kind in (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
                 np.float16, np.float32, np.float64, np.complex64, np.complex128, np.str_, np.bytes_)
}  # fmt: skip
