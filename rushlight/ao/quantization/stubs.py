"""Owns the marks around the part of a model that quantization changes; until then they pass values through.

May import nn.
"""

from __future__ import annotations

from typing import Any

from ...nn import Module


class _Mark(Module):
    """Gives its input back; ``qconfig`` says how the values would be quantized."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        """Give ``x`` back."""
        return x


class QuantStub(_Mark):
    """Marks where quantization begins; once prepared, it rounds what passes.

    Args:
        qconfig: how values are quantized; without one, the parent's way.

    Example:
        >>> import rushlight as torch
        >>> torch.ao.quantization.QuantStub()(torch.ones(2))
        tensor([1., 1.])
    """


class DeQuantStub(_Mark):
    """Marks where quantization ends.

    Args:
        qconfig: as for ``QuantStub``.
    """


class QuantWrapper(Module):
    """A module between the two marks.

    Args:
        module: which.
    """

    quant: QuantStub
    dequant: DeQuantStub
    module: Module

    def __init__(self, module: Module) -> None:
        super().__init__()
        qconfig = getattr(module, "qconfig", None)
        for name, child in (("quant", QuantStub(qconfig)), ("dequant", DeQuantStub(qconfig)), ("module", module)):
            self.add_module(name, child)
        self.train(module.training)

    def forward(self, X: Any) -> Any:
        """What the module gives."""
        return self.dequant(self.module(self.quant(X)))


__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]
