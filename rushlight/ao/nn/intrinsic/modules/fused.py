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
    """A container of modules of given types, in order; calls one after the other.

    Raises:
        TypeError: too many or too few modules.
        AssertionError: modules of other types.

    Example:
        >>> from rushlight import nn
        >>> ConvReLU1d(nn.Conv1d(2, 3, 1), nn.ReLU())
        ConvReLU1d(
          (0): Conv1d(2, 3, kernel_size=(1,), stride=(1,))
          (1): ReLU()
        )
    """

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


def _container(name: str, **parts: type) -> Any:
    """A container of modules of these types, in this order."""
    *most, last = [f"``{kind.__name__}``" for kind in parts.values()]
    return type(name, (_Parts,), {"__doc__": f"{', '.join(most)}, then {last}.", "_parts": parts})


ConvReLU1d = _container("ConvReLU1d", conv=nn.Conv1d, relu=nn.ReLU)
ConvReLU2d = _container("ConvReLU2d", conv=nn.Conv2d, relu=nn.ReLU)
ConvReLU3d = _container("ConvReLU3d", conv=nn.Conv3d, relu=nn.ReLU)
LinearReLU = _container("LinearReLU", linear=nn.Linear, relu=nn.ReLU)
ConvBn1d = _container("ConvBn1d", conv=nn.Conv1d, bn=nn.BatchNorm1d)
ConvBn2d = _container("ConvBn2d", conv=nn.Conv2d, bn=nn.BatchNorm2d)
ConvBn3d = _container("ConvBn3d", conv=nn.Conv3d, bn=nn.BatchNorm3d)
ConvBnReLU1d = _container("ConvBnReLU1d", conv=nn.Conv1d, bn=nn.BatchNorm1d, relu=nn.ReLU)
ConvBnReLU2d = _container("ConvBnReLU2d", conv=nn.Conv2d, bn=nn.BatchNorm2d, relu=nn.ReLU)
ConvBnReLU3d = _container("ConvBnReLU3d", conv=nn.Conv3d, bn=nn.BatchNorm3d, relu=nn.ReLU)
BNReLU2d = _container("BNReLU2d", batch_norm=nn.BatchNorm2d, relu=nn.ReLU)
BNReLU3d = _container("BNReLU3d", batch_norm=nn.BatchNorm3d, relu=nn.ReLU)
LinearBn1d = _container("LinearBn1d", linear=nn.Linear, bn=nn.BatchNorm1d)
LinearLeakyReLU = _container("LinearLeakyReLU", linear=nn.Linear, leaky_relu=nn.LeakyReLU)
LinearTanh = _container("LinearTanh", linear=nn.Linear, tanh=nn.Tanh)


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
