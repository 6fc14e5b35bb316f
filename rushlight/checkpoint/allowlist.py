"""Owns the closed list of what a file may name, build and fill in; everything else is refused or becomes a stub.

May import this folder; looks classes up among our own modules, and never imports because a file says so.
"""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from rushlight import dtypes
from rushlight._device import device
from rushlight._tensor.tensor import Tensor

from . import names, numpy_pickles, rebuild
from .storages import StorageType
from .stub import Stub
from .unpickler import check_key

# A file that names one of these means harm; it is refused even where unknown names only become stubs.
_BLOCKED = frozenset(
    ("os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "ctypes", "importlib", "runpy", "pty", "marshal")
)
_BLOCKED_BUILTINS = frozenset(("eval", "exec", "compile", "__import__", "open", "input", "breakpoint", "globals"))
# Python 2's names, which protocol 2 uses.
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "torch.tensor": "torch._tensor"}
_OLD_BUILTINS = {"xrange": "range", "unicode": "str", "long": "int"}

_user: dict[str, Any] = {}


def add_safe_globals(safe_globals: list) -> None:
    """Let files build these classes and call these functions.

    Args:
        safe_globals: classes or functions, or tuples of (object, the full name a file has for it).

    Raises:
        ValueError: a tuple does not have two members.
        TypeError: the name in a tuple is not a string.

    Example:
        >>> import argparse
        >>> with safe_globals([argparse.Namespace]):
        ...     get_safe_globals()
        [<class 'argparse.Namespace'>]
    """
    for entry in safe_globals:
        _user.update({name: _object_of(entry) for name in _names_of(entry)})


def _object_of(entry):
    return entry[0] if isinstance(entry, tuple) else entry


def _names_of(entry) -> list[str]:
    if isinstance(entry, tuple):
        if len(entry) != 2:
            raise ValueError(
                f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(entry)}"
            )
        if type(entry[1]) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(entry[1])}")
        return [entry[1]]
    own = f"{entry.__module__}.{entry.__qualname__}"
    if own.startswith("rushlight."):
        # Files know our classes under torch's names.
        return [own, "torch." + own.removeprefix("rushlight.")]
    return [own]


def get_safe_globals() -> list:
    """What :func:`add_safe_globals` has registered."""
    return list(dict.fromkeys(_user.values()))


def clear_safe_globals() -> None:
    """Forget everything that :func:`add_safe_globals` registered."""
    _user.clear()


class safe_globals:
    """Register classes and functions inside a ``with`` block; see :func:`add_safe_globals`."""

    def __init__(self, safe_globals: list):
        self._entries = list(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_user)
        add_safe_globals(self._entries)

    def __exit__(self, *exc) -> None:
        _user.clear()
        _user.update(self._before)


# -- builders: each takes (args, kwargs), checks them, and makes one kind of object ---------------------------------


def _bad(what: str, args) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"{what} in a checkpoint: received unexpected arguments {args!r:.100}. The file is damaged."
    )


def _collection(kind):
    def build(args, kwargs):
        if len(args) > 1 or kwargs or (args and not isinstance(args[0], (list, tuple, dict, set, frozenset))):
            raise _bad(kind.__name__, args)
        for item in args[0] if args else ():
            if issubclass(kind, dict) and not isinstance(args[0], dict):
                if not isinstance(item, (list, tuple)) or len(item) != 2:
                    raise _bad(kind.__name__, args)
                item = item[0]
            if kind not in (list, tuple):
                check_key(item)
        return kind(*args)

    return build


def _numbers(kind, limit):
    def build(args, kwargs):
        if len(args) > limit or kwargs or any(type(a) not in (int, float, bool, type(None)) for a in args):
            raise _bad(kind.__name__, args)
        return kind(*args)

    return build


def _default_dict(args, kwargs):
    if kwargs or len(args) > 1 or (args and args[0] not in (None, dict, list, set, int, float)):
        raise _bad("defaultdict", args)
    return defaultdict(*args)


def _bytes_like(kind):
    def build(args, kwargs):
        if kwargs or len(args) > 2 or (args and not isinstance(args[0], (bytes, str))):
            raise _bad(kind.__name__, args)
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
        raise _bad("bytes", args)
    return args[0].encode(args[1])


def _size(args, kwargs):
    if kwargs or len(args) > 1 or (args and any(type(n) is not int for n in args[0])):
        raise _bad("torch.Size", args)
    return dtypes.Size(*args)


def _device(args, kwargs):
    if kwargs or not 1 <= len(args) <= 2:
        raise _bad("torch.device", args)
    return device(*args)


def _layout(args, kwargs):
    found = {repr(one): one for one in (dtypes.strided, dtypes.sparse_coo)}.get(args[0] if args else "")
    if found is None:
        raise _bad("torch.layout", args)
    return found


def _tensor_v2(args, kwargs):
    if kwargs or not 6 <= len(args) <= 7:
        raise _bad("tensor", args)
    return rebuild.make_tensor(*args[:5], flags=args[6] if len(args) == 7 else None)


def _tensor_v3(args, kwargs):
    if kwargs or not 7 <= len(args) <= 8:
        raise _bad("tensor", args)
    return rebuild.make_tensor(*args[:5], dtype=args[6], flags=args[7] if len(args) == 8 else None)


def _tensor_v1(args, kwargs):
    if kwargs or len(args) != 4:
        raise _bad("tensor", args)
    storage, offset, size, stride = args
    return rebuild.make_tensor(storage, offset, size, stride, False)


def _meta(args, kwargs):
    if kwargs or len(args) != 4:
        raise _bad("meta tensor", args)
    return rebuild.make_meta(*args)


def _parameter(args, kwargs):
    if kwargs or not 1 <= len(args) <= 3:
        raise _bad("parameter", args)
    return rebuild.make_parameter(args[0], args[1] if len(args) > 1 else True)


def _parameter_with_state(args, kwargs):
    if kwargs or len(args) != 4:
        raise _bad("parameter", args)
    return rebuild.set_attributes(rebuild.make_parameter(*args[:2]), args[3])


def _from_type(args, kwargs):
    if kwargs or len(args) != 4 or not isinstance(args[2], tuple):
        raise _bad("tensor", args)
    func, kind, parts, state = args
    if not any(func is one for one in _TENSOR_BUILDERS):
        raise _bad("tensor", args)
    tensor = BUILDERS[id(func)](parts, {})
    if kind is not Tensor and kind is not _VALUES["torch.nn.parameter.Parameter"]:
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
BUILDERS = {id(value): build for value, build in _CALLABLE.values()}

_VALUES: dict[str, Any] = {name: value for name, (value, _) in _CALLABLE.items()}
_VALUES |= {"torch.Tensor": Tensor, "numpy.ndarray": np.ndarray, "builtins.int": int, "builtins.float": float}
_VALUES |= {f"torch.{name}": d for name, d in dtypes.ALL.items()}
_VALUES |= {
    f"{home}.{name}": StorageType(name, d)
    for name, d in names.STORAGE_DTYPES.items()
    for home in ("torch", "torch.cuda")
}
_VALUES["torch.storage.UntypedStorage"] = StorageType("storage.UntypedStorage", None)
_VALUES["torch.UntypedStorage"] = _VALUES["torch.storage.UntypedStorage"]


class Policy:
    """What one load may build.

    Args:
        weights_only: refuse unknown names instead of making stubs for them, and build no modules.
    """

    def __init__(self, weights_only: bool):
        self.weights_only = weights_only
        self._built: set[type] = set()
        if not weights_only:
            names.import_own()

    def find(self, module: str, name: str):
        """The value of a global that the file names.

        Raises:
            UnpicklingError: it is blocked, or unknown with ``weights_only=True``.
        """
        module = _OLD_MODULES.get(module, module)
        if module == "builtins":
            name = _OLD_BUILTINS.get(name, name)
        path = f"{module}.{name}"
        if module.split(".")[0] in _BLOCKED or (module == "builtins" and name in _BLOCKED_BUILTINS):
            raise pickle.UnpicklingError(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
        if path in _VALUES:
            return _VALUES[path]
        if path in _user:
            return _user[path]
        if self.weights_only:
            shown = path.removeprefix("builtins.")
            raise pickle.UnpicklingError(
                f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
                f"`torch.serialization.add_safe_globals([{shown}])` or the "
                f"`torch.serialization.safe_globals([{shown}])` context manager to allowlist this "
                "global if you trust this class/function."
            )
        found = names.from_torch(module, name)
        if found is not None:
            self._built.add(found)
            return found
        return names.function_from_torch(module, name) or Stub(path)

    def _trusted(self, kind) -> bool:
        return any(kind is one for one in _user.values())

    def _built_lazily(self) -> list:
        """The lazy parameters, which are saved as a call with ``requires_grad`` alone."""
        return [one for one in self._built if one.__module__ == "rushlight.nn.parameter"]

    def reduce(self, func, args):
        """Call what REDUCE asks for, if it may be called.

        Raises:
            UnpicklingError: it may not.
        """
        if not isinstance(args, tuple):
            raise pickle.UnpicklingError(f"REDUCE in a checkpoint: expected a tuple, received {type(args).__name__}")
        build = BUILDERS.get(id(func))
        if build is not None:
            return build(args, {})
        if type(func) is Stub:
            return Stub(func.class_name, args)
        if self._trusted(func):
            return func(*args)
        if func in self._built_lazily() and args in ((True,), (False,)):
            return func(*args)
        raise pickle.UnpicklingError(f"Trying to call reduce for unrecognized function {func!r:.100}")

    def new(self, kind, args, kwargs=None):
        """Make the object NEWOBJ asks for, without running its ``__init__``.

        Raises:
            UnpicklingError: the class is not one that may be built.
        """
        kwargs = {} if kwargs is None else kwargs
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise pickle.UnpicklingError(f"NEWOBJ in a checkpoint: expected a tuple, received {type(args).__name__}")
        if type(kind) is Stub:
            return Stub(kind.class_name, args, kwargs or None)
        if isinstance(kind, type) and self._trusted(kind):
            return kind.__new__(kind, *args, **kwargs)
        if isinstance(kind, type) and kind in self._built:
            # Arguments mean that the class makes itself in a way of its own; that code is not run.
            return Stub(f"{kind.__module__}.{kind.__qualname__}", args, kwargs) if args else object.__new__(kind)
        build = BUILDERS.get(id(kind))
        if build is not None:
            return build(args, kwargs)
        raise pickle.UnpicklingError(
            "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got "
            f"{kind!r:.100}"
        )

    def build(self, obj, state) -> None:
        """Fill an object in, as BUILD asks.

        Raises:
            UnpicklingError: the object is of a kind that is not filled in, or the state does not fit it.
        """
        kind = type(obj)
        if kind is Stub:
            obj.state = state
        elif kind is OrderedDict:
            taken = not isinstance(state, dict) or any(not isinstance(k, str) or hasattr(kind, k) for k in state)
            if taken:
                raise _bad("attributes of an OrderedDict", (state,))
            obj.__dict__.update(state)
        elif isinstance(obj, np.dtype):
            numpy_pickles.set_dtype(obj, state)
        elif kind is np.ndarray:
            numpy_pickles.set_array(obj, state)
        elif kind in self._built or self._trusted(kind):
            _fill(obj, state)
        else:
            raise pickle.UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{kind}"
            )


def _fill(obj, state) -> None:
    """What pickle does: ``__setstate__``, else the instance's dict, and its slots."""
    own = getattr(obj, "__setstate__", None)
    if own is not None:
        own(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    for part in (state, slots):
        if part is not None and (not isinstance(part, dict) or any(type(k) is not str for k in part)):
            raise _bad(f"state of {type(obj).__name__}", (part,))
    if state:
        obj.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(obj, name, value)
