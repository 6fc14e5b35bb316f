"""Owns the marks around the part of a model that quantization would change; until then they pass values through.

May import nn.
"""

from __future__ import annotations

from typing import Any

from ...nn import Module


class QuantStub(Module):
    """Marks where quantization begins; gives its input back.

    Args:
        qconfig: how it would be quantized; kept as an attribute.

    Example:
        >>> import rushlight as torch
        >>> torch.ao.quantization.QuantStub()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        """Give ``x`` back."""
        return x


class DeQuantStub(Module):
    """Marks where quantization ends; gives its input back.

    Args:
        qconfig: how it would be quantized; kept as an attribute.
    """

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        """Give ``x`` back."""
        return x


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
        self.add_module("quant", QuantStub(qconfig))
        self.add_module("dequant", DeQuantStub(qconfig))
        self.add_module("module", module)
        self.train(module.training)

    def forward(self, X: Any) -> Any:
        """What the module gives."""
        return self.dequant(self.module(self.quant(X)))


__all__ = ["DeQuantStub", "QuantStub", "QuantWrapper"]
