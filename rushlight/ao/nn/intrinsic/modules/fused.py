"""Owns the fused containers: modules that follow each other, kept together so that they are quantized as one.

May import nn.
"""

from __future__ import annotations

from typing import Any

from ..... import nn
from .....nn.utils.parametrize import type_before_parametrizations


class _FusedModule(nn.Sequential):
    """What the fused containers share, and their forms for training; tells them from other modules."""


class _Parts(_FusedModule):
    """A container of modules of given types, in order; calls one after the other."""

    _parts: dict[str, type] = {}

    def __init__(self, *modules: Any, **named: Any) -> None:
        names = list(self._parts)
        if len(modules) + len(named) != len(names) or any(n not in names[len(modules) :] for n in named):
            raise TypeError(f"{type(self).__name__}() expects {', '.join(names)}, got {[*modules, *named]}")
        parts = [*modules, *(named[n] for n in names[len(modules) :])]
        kinds = [type_before_parametrizations(m) for m in parts]
        if kinds != list(self._parts.values()):
            *most, last = [k.__name__ for k in kinds]
            shown = f"{most[0]} and {last}" if len(most) == 1 else f"{', '.join(most)}, and {last}"
            raise AssertionError(f"Incorrect types for input modules: {shown}")
        super().__init__(*parts)


class ConvReLU1d(_Parts):
    """``Conv1d``, then ``ReLU``.

    Args:
        conv, relu: the modules.

    Raises:
        AssertionError: modules of other types, here as for all containers of this file.

    Example:
        >>> from rushlight import nn
        >>> ConvReLU1d(nn.Conv1d(2, 3, 1), nn.ReLU())
        ConvReLU1d(
          (0): Conv1d(2, 3, kernel_size=(1,), stride=(1,))
          (1): ReLU()
        )
    """

    _parts = {"conv": nn.Conv1d, "relu": nn.ReLU}


class ConvReLU2d(_Parts):
    """``Conv2d``, then ``ReLU``."""

    _parts = {"conv": nn.Conv2d, "relu": nn.ReLU}


class ConvReLU3d(_Parts):
    """``Conv3d``, then ``ReLU``."""

    _parts = {"conv": nn.Conv3d, "relu": nn.ReLU}


class LinearReLU(_Parts):
    """``Linear``, then ``ReLU``."""

    _parts = {"linear": nn.Linear, "relu": nn.ReLU}


class ConvBn1d(_Parts):
    """``Conv1d``, then ``BatchNorm1d``."""

    _parts = {"conv": nn.Conv1d, "bn": nn.BatchNorm1d}


class ConvBn2d(_Parts):
    """``Conv2d``, then ``BatchNorm2d``."""

    _parts = {"conv": nn.Conv2d, "bn": nn.BatchNorm2d}


class ConvBn3d(_Parts):
    """``Conv3d``, then ``BatchNorm3d``."""

    _parts = {"conv": nn.Conv3d, "bn": nn.BatchNorm3d}


class ConvBnReLU1d(_Parts):
    """``Conv1d``, ``BatchNorm1d``, then ``ReLU``."""

    _parts = {"conv": nn.Conv1d, "bn": nn.BatchNorm1d, "relu": nn.ReLU}


class ConvBnReLU2d(_Parts):
    """``Conv2d``, ``BatchNorm2d``, then ``ReLU``."""

    _parts = {"conv": nn.Conv2d, "bn": nn.BatchNorm2d, "relu": nn.ReLU}


class ConvBnReLU3d(_Parts):
    """``Conv3d``, ``BatchNorm3d``, then ``ReLU``."""

    _parts = {"conv": nn.Conv3d, "bn": nn.BatchNorm3d, "relu": nn.ReLU}


class BNReLU2d(_Parts):
    """``BatchNorm2d``, then ``ReLU``."""

    _parts = {"batch_norm": nn.BatchNorm2d, "relu": nn.ReLU}


class BNReLU3d(_Parts):
    """``BatchNorm3d``, then ``ReLU``."""

    _parts = {"batch_norm": nn.BatchNorm3d, "relu": nn.ReLU}


class LinearBn1d(_Parts):
    """``Linear``, then ``BatchNorm1d``."""

    _parts = {"linear": nn.Linear, "bn": nn.BatchNorm1d}


class LinearLeakyReLU(_Parts):
    """``Linear``, then ``LeakyReLU``."""

    _parts = {"linear": nn.Linear, "leaky_relu": nn.LeakyReLU}


class LinearTanh(_Parts):
    """``Linear``, then ``Tanh``."""

    _parts = {"linear": nn.Linear, "tanh": nn.Tanh}


class ConvAdd2d(_FusedModule):
    """A convolution, to whose result a second input is added.

    Args:
        conv: convolves the first input.
        add: adds two tensors.
    """

    def __init__(self, conv: nn.Module, add: Any) -> None:
        super().__init__(conv)
        self.add = add

    def forward(self, x1: Any, x2: Any) -> Any:  # type: ignore[override]
        """``conv(x1) + x2``."""
        return self.add(self[0](x1), x2)


class ConvAddReLU2d(_FusedModule):
    """The same, then ``ReLU``.

    Args:
        conv, add: as for ``ConvAdd2d``.
        relu: comes last.
    """

    def __init__(self, conv: nn.Module, add: Any, relu: nn.Module) -> None:
        super().__init__(conv)
        self.add = add
        self.relu = relu

    def forward(self, x1: Any, x2: Any) -> Any:  # type: ignore[override]
        """``relu(conv(x1) + x2)``."""
        return self.relu(self.add(self[0](x1), x2))


__all__ = [
    "BNReLU2d", "BNReLU3d", "ConvAdd2d", "ConvAddReLU2d", "ConvBn1d", "ConvBn2d", "ConvBn3d", "ConvBnReLU1d",
    "ConvBnReLU2d", "ConvBnReLU3d", "ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "LinearBn1d", "LinearLeakyReLU",
    "LinearReLU", "LinearTanh",
]  # fmt: skip
