"""Owns ``torch.ops.aten``: the operators under the names that torch's dispatcher has for them.

May import the door and the custom operators' names.
"""

from __future__ import annotations

from typing import Any

from .._errors import not_supported
from . import _custom, _op

# What the operators are called below torch's functions, where it is another name.
_LOWER = {
    "matmul": ("mm", "bmm", "mv", "dot"), "linear": ("addmm", "mm"), "conv1d": ("convolution",),
    "conv2d": ("convolution",), "conv3d": ("convolution",), "softmax": ("_softmax",), "log_softmax": ("_log_softmax",),
    "scaled_dot_product_attention": (
        "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_cudnn_attention",
    ),
}  # fmt: skip


class OpName:
    """``torch.ops.aten.mm.default``: the name of an operator, to compare and to call.

    An operator has all the names that torch gives to the parts which it is made of there: what ``matmul`` runs is
    equal to ``mm`` and to ``bmm``.
    """

    def __init__(self, name: str):
        self.name = name
        self.names = {name, *_LOWER.get(name, ())}

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, OpName):
            return not self.names.isdisjoint(other.names)
        found = getattr(other, "name", None) if isinstance(other, _op.Op) else getattr(other, "__name__", None)
        return found in self.names

    def __hash__(self) -> int:
        return hash(OpName)  # equal names may be written differently

    def __repr__(self) -> str:
        return f"<OpOverload(op='aten.{self.name}', overload='default')>"

    def __getattr__(self, overload: str) -> OpName:
        if overload.startswith("_"):
            raise AttributeError(overload)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = _op.REGISTRY.get(self.name)
        if found is None:
            raise not_supported(f"calling torch.ops.aten.{self.name}", "Call the function of torch.")
        return found(*args, **kwargs)


class _Aten:
    """``torch.ops.aten``: any name, for comparison; the operators that are there can be called."""

    def __getattr__(self, name: str) -> OpName:
        if name.startswith("__"):
            raise AttributeError(name)
        return OpName(name)


_aten: Any = _Aten()
_custom.namespaces.setdefault("aten", _aten)
