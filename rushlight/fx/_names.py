"""Owns how functions and classes are called in the text of graphs: by the name that PyTorch prints for them.

May import nn and the namespaces of operators.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import types
import typing
from importlib import import_module
from typing import Any

_ROOT = __name__.partition(".")[0]
# Where public functions live; the first that has a function under its own name decides how it is printed.
_SPACES = ("nn.functional", "", "linalg", "fft", "special", "nn.init", "functional")
# What PyTorch defines elsewhere than it is imported from, and the place it prints.
_PLACES = {
    "torch.functional": (
        "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist "
        "chain_matmul einsum lu meshgrid norm split stft tensordot unique unique_consecutive unravel_index"
    ),
    "torch.random": "get_rng_state initial_seed manual_seed seed set_rng_state",
    "torch.serialization": "load save",
}
_FUNCTIONAL_PLACES = {
    "torch": (
        "adaptive_avg_pool1d avg_pool1d bilinear celu_ channel_shuffle conv1d conv2d conv3d conv_tbc conv_transpose1d "
        "conv_transpose2d conv_transpose3d cosine_similarity hardshrink native_channel_shuffle pairwise_distance pdist "
        "pixel_shuffle pixel_unshuffle prelu relu_ rrelu_ selu_ threshold_"
    ),
    "torch._C._nn": (
        "avg_pool2d avg_pool3d elu_ gelu hardtanh_ leaky_relu_ linear one_hot scaled_dot_product_attention softplus "
        "softshrink"
    ),
}
_AS_PRINTED = {
    "torch.nn.functional.logsigmoid": "torch._C._nn.log_sigmoid",
    "torch.nn.functional.threshold": "torch.nn.functional._threshold",
    "torch.segment_reduce": "torch._segment_reduce",
}
# Classes that print directly under ``torch``, wherever they are defined.
_PRINTED_AS_ROOT = ("_tensor", "_device", "dtypes", "random.generator")


def _elsewhere(table: dict[str, str]) -> dict[str, str]:
    return {name: place for place, names in table.items() for name in names.split()}


def _printed(space: str, name: str) -> str:
    """What PyTorch prints for the function that is imported as ``torch.<space>.<name>``."""
    if space in ("linalg", "fft", "special"):
        return f"torch._C._{space}.{space}_{name}"
    where = f"torch.{space}" if space else "torch"
    if f"{where}.{name}" in _AS_PRINTED:
        return _AS_PRINTED[f"{where}.{name}"]
    if space == "nn.functional":
        where = _elsewhere(_FUNCTIONAL_PLACES).get(name, where)
    elif space in ("", "functional"):
        where = _elsewhere(_PLACES).get(name, "torch")
    return f"{where}.{name}"


@functools.cache
def _public() -> dict[int, tuple[Any, str]]:
    """The public functions by identity, each with the name it is printed under."""
    found: dict[int, tuple[Any, str]] = {}
    exact: set[int] = set()
    for space in _SPACES:
        module = import_module(f"{_ROOT}.{space}" if space else _ROOT)
        for name, value in list(vars(module).items()):
            if name.startswith("__") or isinstance(value, (type, types.ModuleType)) or not callable(value):
                continue
            own = getattr(value, "__name__", "") == name
            if (own and id(value) not in exact) or id(value) not in found:
                found[id(value)] = (value, _printed(space, name))
            if own:
                exact.add(id(value))
    from .._tensor.tensor import Tensor

    for name in dir(Tensor):
        value = inspect.getattr_static(Tensor, name)
        if callable(value) and not isinstance(value, type):
            found.setdefault(id(value), (value, f"torch.Tensor.{name}"))
    return found


def home(obj: Any) -> str | None:
    """The module that a value says it is from, under torch's name; None where it says nothing."""
    name = getattr(obj, "__module__", None)
    if not isinstance(name, str) or not (name == _ROOT or name.startswith(_ROOT + ".")):
        return name
    inner = name[len(_ROOT) + 1 :]
    if isinstance(obj, type) and any(inner == part or inner.startswith(part + ".") for part in _PRINTED_AS_ROOT):
        return "torch"
    if inner == "models" or inner.startswith("models."):
        return f"torchvision.{inner}"
    return f"torch.{inner}" if inner else "torch"


def is_from_torch(obj: Any) -> bool:
    """Whether a value is part of the library, so that generated text reaches it through ``torch``."""
    name = home(obj)
    if name is None:
        return False
    return name == "torch" or (name.startswith("torch.") and not name.startswith(("torch._dynamo.", "torch._inductor")))


def qualified_name(func: Any) -> str:
    """The dotted name by which PyTorch prints a function or class.

    Args:
        func: a callable.

    Raises:
        RuntimeError: a lambda whose source cannot be read.

    Example:
        >>> import rushlight as torch
        >>> qualified_name(torch.nn.functional.linear), qualified_name(torch.relu), qualified_name(len)
        ('torch._C._nn.linear', 'torch.relu', 'len')
    """
    if getattr(builtins, getattr(func, "__name__", ""), None) is func:
        return func.__name__
    known = public_name(func)
    if known is not None:
        return known
    name = func.__name__
    if name == "<lambda>":
        try:
            name = inspect.getsource(func).split("=")[0].strip()
        except Exception as error:
            raise RuntimeError("Unable to represent lambda") from error
    module = home(func)
    if module is None:
        raise RuntimeError(f"cannot find module for {func}")
    return f"{module}.{name}"


def public_name(func: Any) -> str | None:
    """The printed name of a public function; None for any other value."""
    known = _public().get(id(func))
    return known[1] if known is not None and known[0] is func else None


def found(name: str) -> Any:
    """The function of a printed name."""
    at: Any = import_module(_ROOT)
    for part in name.split(".")[1:]:
        at = getattr(at, part)
    return at


def short_name(func: Any) -> str:
    """The last part of the printed name: what nodes that call the function are called after."""
    known = public_name(func)
    return func.__name__ if known is None else known.rpartition(".")[2]


def type_text(obj: Any) -> str:
    """A type as it stands in the text of a graph.

    Example:
        >>> import rushlight as torch
        >>> type_text(torch.Tensor), type_text(int), type_text(...)
        ('torch.Tensor', 'int', '...')
    """
    if isinstance(obj, type) and not isinstance(obj, types.GenericAlias):
        return obj.__qualname__ if obj.__module__ == "builtins" else f"{home(obj)}.{obj.__qualname__}"
    if obj is ...:
        return "..."
    if isinstance(obj, types.FunctionType):
        return obj.__name__
    text, inside = repr(obj), list(typing.get_args(obj))
    while inside:
        one = inside.pop()
        inside += typing.get_args(one)
        if isinstance(one, type) and home(one) != one.__module__:
            text = text.replace(f"{one.__module__}.{one.__qualname__}", type_text(one))
    return text


def typename(obj: Any) -> str:
    """The name of a value's type in messages about targets."""
    if isinstance(obj, str):
        return "str"
    name = getattr(obj, "__qualname__", None)
    return f"{home(obj)}.{name}" if name is not None and not isinstance(obj, type) else type(obj).__qualname__
