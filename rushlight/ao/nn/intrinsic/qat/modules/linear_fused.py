"""Owns the linear layers that round their weight while training, with batch normalisation or ReLU behind them.

May import nn, the containers and the folding of normalisation.
"""

from __future__ import annotations

from typing import Any

from ...... import nn
from ......nn import functional as F
from ......nn.utils import fuse_linear_bn_weights
from ....qat.modules.linear import Linear, check_float, copy_values
from ...modules import fused as nni
from ...modules.fused import _FusedModule
from .conv_fused import FoldsBn


class LinearBn1d(FoldsBn, nn.Linear, _FusedModule):
    """``Linear`` and ``BatchNorm1d`` in one, with the weight rounded after the normalisation is folded into it.

    Args:
        in_features, out_features, bias: those of ``nn.Linear``.
        eps, momentum: those of the normalisation.
        freeze_bn: normalise with the running statistics.
        qconfig: ``qconfig.weight`` makes what rounds.

    Raises:
        AssertionError: no ``qconfig``.
    """

    _FLOAT_MODULE = nni.LinearBn1d

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, eps: float = 1e-5, momentum: float = 0.1,
        freeze_bn: bool = False, qconfig: Any = None,
    ) -> None:  # fmt: skip
        nn.Linear.__init__(self, in_features, out_features, bias)
        self._add_bn(nn.BatchNorm1d(out_features, eps, momentum, True, True), out_features, bias, freeze_bn, qconfig)

    def forward(self, input: Any) -> Any:
        """``input @ rounded weight.T``, normalised."""
        factor, weight = self._folded()
        out = F.linear(input, weight) / factor.reshape([1, -1])
        return self.bn(out if self.bias is None else out + self.bias.reshape([1, -1]))

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; see ``qat.Linear.from_float``."""
        check_float(cls, mod)
        linear, bn = mod[0], mod[1]
        new = cls(
            linear.in_features, linear.out_features, linear.bias is not None, bn.eps, bn.momentum, False, mod.qconfig
        )
        return new._take_bn(linear, bn)

    def to_float(self) -> Any:
        """One plain ``nn.Linear`` that normalises too; not rounded."""
        linear, bn = nn.Linear(self.in_features, self.out_features), self.bn
        linear.weight, linear.bias = fuse_linear_bn_weights(
            self.weight, self.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        return linear


class LinearReLU(Linear, _FusedModule):
    """``qat.Linear``, then ``ReLU``.

    Args: those of ``qat.Linear``.
    """

    _FLOAT_MODULE = nni.LinearReLU

    def __init__(self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None) -> None:
        super().__init__(in_features, out_features, bias, qconfig)

    def forward(self, input: Any) -> Any:
        """``relu(input @ rounded weight.T + bias)``."""
        return F.relu(super().forward(input))

    def to_float(self) -> Any:
        """The container of plain modules with the values of this one, not rounded."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        return nni.LinearReLU(copy_values(self, linear), nn.ReLU())


__all__ = ["LinearBn1d", "LinearReLU"]
