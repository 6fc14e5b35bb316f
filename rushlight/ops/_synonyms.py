"""Owns the second names of keywords: ``axis`` for ``dim``, ``x`` for ``input``, as torch takes them for numpy's sake.

May import how calls are taken over, below; operators and functions built from them both come here.
"""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any

from .._tensor.overriding import rescued

NAMES = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "self": "input", "x2": "other",
}  # fmt: skip
# Further keywords of single functions, where torch's overloads name one parameter differently.
_PIECES = dict.fromkeys(("indices", "sections", "tensor_indices_or_sections"), "indices_or_sections")
_OWN = {
    "can_cast": {"from_": "source", "to": "target"},
    "cholesky_solve": {"input2": "L"},
    "constant_pad_nd": {"pad": "pad_"},
    "heaviside": {"values": "other"},
    "lstsq": {"b": "B"},
    "householder_product": {"input2": "tau"},
    "ormqr": {"input2": "tau", "input3": "other"},
    "swapaxes": {"axis0": "dim0", "axis1": "dim1"},
    "tensorsolve": {"other": "B"},
    "transpose": {"axis0": "dim0", "axis1": "dim1"},
    "unsafe_split": {"split_size": "split_size_or_sections"},
    **dict.fromkeys(("tensor_split", "hsplit", "vsplit", "dsplit"), _PIECES),
}
# First parameters that torch calls input in some of the functions that share one of ours (torch.det, torch.linalg.det).
_FIRST = ("A", "L", "B", "b", "x", "tensor", "self")
# Written in Python in torch, which gives only its C++ functions second names.
_PLAIN = frozenset(
    {
        "cdist", "chain_matmul", "is_storage", "is_tensor", "lobpcg", "lu", "norm", "pca_lowrank", "split", "stft",
        "svd_lowrank", "tensordot", "unique", "unique_consecutive", "unravel_index",
    }
)  # fmt: skip
_PLAIN_METHODS = _PLAIN | {"istft", "unflatten"}


def table(function: str, names) -> dict[str, str]:
    """Which parameter each second name stands for.

    Args:
        function: its name.
        names: of the parameters, in order.
    """
    lead = "input" if "input" in names else next(iter(names), None)
    found = {}
    for name, real in (*NAMES.items(), ("input", "input"), *_OWN.get(function, {}).items()):
        if real == "input":
            if lead is None or (lead != "input" and lead not in _FIRST):
                continue
            real = lead
        if real in names and name not in names:
            found[name] = real
    return found


def renamed(keywords: dict[str, Any], synonyms: dict[str, str]) -> dict[str, Any]:
    """The keywords under their first names; one whose parameter is given so already stays, so that it is refused."""
    out = dict(keywords)
    for name, value in keywords.items():
        real = synonyms.get(name, name)
        if real not in out:
            del out[name]
            out[real] = value
    return out


@functools.cache
def with_synonyms(function):
    """A function that takes the second names too; the function itself where it has none."""
    if type(function) is not FunctionType:
        return function
    code = function.__code__
    synonyms = table(function.__name__, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    if not synonyms:
        return function

    @functools.wraps(function)
    def call(*args, **kwargs):
        for name in kwargs:
            if name in synonyms:
                kwargs = renamed(kwargs, synonyms)
                break
        try:
            return function(*args, **kwargs)
        except (TypeError, AttributeError, IndexError):
            return rescued(call, args, kwargs)

    call.synonyms = synonyms  # type: ignore[attr-defined]
    return call


def as_method(name: str, function):
    """The function as a method of this name, with second names where torch's method has them."""
    return function if name in _PLAIN_METHODS else with_synonyms(function)


def export(space: dict[str, Any], names=None) -> None:
    """Give the operators' functions in a namespace their second names.

    Args:
        space: the ``globals()`` of a public module.
        names: those to treat; default: all that come from the operators.
    """
    top = "." not in space["__name__"]
    for name in list(space) if names is None else names:
        function = space[name]
        if top and name in _PLAIN:
            continue
        if type(function) is FunctionType and ".ops." in function.__module__:
            made = space[name] = with_synonyms(function)
            if made is not function and made.__module__ == function.__module__:
                # Pickles name it by where it can be found.
                made.__module__, made.__qualname__ = space["__name__"], name
