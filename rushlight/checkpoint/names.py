"""Owns the translation between rushlight's names and the names torch writes into files: storages, dtypes, modules.

May import only dtypes and the standard library.
"""

from __future__ import annotations

import functools
import importlib
import sys

from rushlight import dtypes

# torch's typed storages; dtypes that have none are written through ``torch.storage.UntypedStorage``.
STORAGE_DTYPES: dict[str, dtypes.dtype] = {
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "ComplexDoubleStorage": dtypes.complex128,
    "ComplexFloatStorage": dtypes.complex64,
}
STORAGE_OF_DTYPE = {d: name for name, d in STORAGE_DTYPES.items()}

# Folders of rushlight whose classes have the same path under torch.
_SHARED_FOLDERS = ("nn", "optim", "utils", "distributed", "distributions")


class TorchName:
    """A global that a file names and that does not exist here, such as ``torch._utils._rebuild_tensor_v2``.

    It is callable only so that the standard pickler takes it as a function; it never runs.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"

    def __call__(self, *args):
        raise TypeError(f"{self!r} is a name in a file: expected a use in a checkpoint, received a call")


@functools.cache
def torch_name(module: str, name: str) -> TorchName:
    """The one ``TorchName`` for this global (the pickler's memo works by identity)."""
    return TorchName(module, name)


def storage_name(dtype: dtypes.dtype) -> TorchName:
    """The storage class under which torch writes ``dtype``."""
    name = STORAGE_OF_DTYPE.get(dtype)
    return torch_name("torch.storage", "UntypedStorage") if name is None else torch_name("torch", name)


def to_torch(obj, module: str, name: str) -> tuple[str, str] | None:
    """Where torch keeps rushlight's ``obj``, or None when torch has no such global.

    Args:
        obj: a class or function.
        module: its module, which begins with ``rushlight``.
        name: its qualified name.
    """
    for public in ("nn.functional", "nn.init"):
        if getattr(sys.modules.get(f"rushlight.{public}"), name, None) is obj:
            return f"torch.{public}", name
    folder = module.removeprefix("rushlight").lstrip(".").split(".")[0]
    if folder in _SHARED_FOLDERS:
        return "torch" + module.removeprefix("rushlight"), name
    # Classes of the top level (generators, memory formats) are rebuilt by torch in ways of their own.
    if not isinstance(obj, type) and getattr(sys.modules.get("rushlight"), name, None) is obj:
        return "torch", name
    return None


# Where files find functions, by torch's name: its C++ functions have addresses of their own.
_FUNCTIONS = {
    "torch.nn.functional": "rushlight.nn.functional", "torch.nn.init": "rushlight.nn.init",
    "torch._C._nn": "rushlight.nn.functional", "torch._C._VariableFunctions": "rushlight",
    "torch._C._VariableFunctionsClass": "rushlight", "torch": "rushlight",
}  # fmt: skip


_OPERATORS = ("rushlight.ops", "rushlight.nn.functional", "rushlight.nn.init")


def import_own() -> None:
    """Import the packages whose classes a file may name; always the same ones, whatever the file says."""
    for package in ("rushlight.nn", "rushlight.optim"):
        importlib.import_module(package)


def from_torch(module: str, name: str):
    """rushlight's class at torch's path ``module.name``, or None; looks among what is imported and imports nothing."""
    if module.split(".")[:1] != ["torch"] or not name.isidentifier():
        return None
    parts = module.split(".")[1:]
    if not parts or parts[0] not in _SHARED_FOLDERS:
        return None
    own = "rushlight." + ".".join(parts)
    found = getattr(sys.modules.get(own), name, None)
    return found if isinstance(found, type) and found.__module__ == own and found.__qualname__ == name else None


def function_from_torch(module: str, name: str):
    """rushlight's operator at torch's path ``module.name``, or None; never called."""
    home = _FUNCTIONS.get(module)
    if home is None or not name.isidentifier() or name.startswith("__"):
        return None
    found = getattr(sys.modules.get(home), name, None)
    # Operators alone: a file must not get hold of what opens files, such as load.
    own = str(getattr(found, "__module__", "")).startswith(_OPERATORS)
    return found if callable(found) and not isinstance(found, type) and own else None
