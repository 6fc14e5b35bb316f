"""Owns the fused convolutions that round their weight while training, with batch normalisation folded into it.

May import nn, the containers and the convolutions that round. Folding follows Jacob et al. 2018, section 3.2.
"""

from __future__ import annotations

import math
from typing import Any

from ...... import nn
from ......_graph.modes import no_grad
from ......nn import functional as F
from ......nn import init
from ......nn.modules.conv import _ConvNd
from ......nn.modules.utils import _pair, _single, _triple
from ......nn.parameter import Parameter
from ......nn.utils import fuse_conv_bn_weights
from ......ops.creation import empty, zeros
from ....qat.modules import conv as nnqat
from ....qat.modules.conv import float_conv
from ....qat.modules.linear import check_float, need_qconfig
from ...modules import fused as nni
from ...modules.fused import _FusedModule

_BN = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_EACH = {1: _single, 2: _pair, 3: _triple}
_OLD_NAMES = {
    "bn.weight": "gamma", "bn.bias": "beta", "bn.running_mean": "running_mean", "bn.running_var": "running_var",
    "bn.num_batches_tracked": "num_batches_tracked",
}  # fmt: skip


class FoldsBn:
    """What layers with folded batch normalisation share: when its statistics move, and how it begins."""

    bn: Any
    training: bool
    freeze_bn: bool

    def _add_bn(self: Any, bn: Any, features: int, bias: Any, freeze_bn: bool, qconfig: Any) -> None:
        """Attach ``bn``, what rounds, and the bias, in the order in which torch draws them."""
        self.qconfig = need_qconfig(qconfig)
        self.freeze_bn = freeze_bn if self.training else True
        self.bn = bn
        self.weight_fake_quant = qconfig.weight()
        self.register_parameter("bias", Parameter(empty(features)) if bias else None)
        self.reset_bn_parameters()
        if self.training and not freeze_bn:
            self.update_bn_stats()
        else:
            self.freeze_bn_stats()

    def reset_running_stats(self) -> None:
        """Forget the statistics."""
        self.bn.reset_running_stats()

    def reset_bn_parameters(self) -> None:
        """Forget the statistics, and draw the weight of the normalisation."""
        self.bn.reset_running_stats()
        init.uniform_(self.bn.weight)
        init.zeros_(self.bn.bias)

    def update_bn_stats(self) -> Any:
        """Normalise with each batch's statistics, and keep running ones."""
        self.freeze_bn = False
        self.bn.training = True
        return self

    def freeze_bn_stats(self) -> Any:
        """Normalise with the running statistics, which stay as they are."""
        self.freeze_bn = True
        self.bn.training = False
        return self

    def train(self: Any, mode: bool = True) -> Any:
        """Training mode or not; frozen normalisation keeps its own."""
        self.training = mode
        if not self.freeze_bn:
            for module in self.children():
                module.train(mode)
        return self

    def _folded(self: Any) -> tuple[Any, Any]:
        """The factor that the running statistics come to, and the rounded weight times it."""
        factor = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
        by_row = factor.reshape([-1] + [1] * (self.weight.dim() - 1))
        return factor, self.weight_fake_quant(self.weight * by_row)

    def _take_bn(self: Any, layer: Any, bn: Any) -> Any:
        """Share the parameters and statistics of a layer and its normalisation."""
        self.weight, self.bias = layer.weight, layer.bias
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(self.bn, name, getattr(bn, name))
        return self


class _ConvBnNd(FoldsBn, _ConvNd, _FusedModule):
    """A convolution with batch normalisation, of any number of dimensions."""

    _version = 2
    _dims: int
    _FLOAT_MODULE: Any
    _FLOAT_CONV_MODULE: Any
    _FLOAT_BN_MODULE: Any
    _FLOAT_RELU_MODULE: Any = None
    _FUSED_FLOAT_MODULE: Any = None
    _conv_forward: Any

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: Any = None, padding_mode: str = "zeros", eps: float = 1e-5,
        momentum: float = 0.1, freeze_bn: bool = False, qconfig: Any = None,
    ) -> None:  # fmt: skip
        each = _EACH[self._dims]
        _ConvNd.__init__(
            self, in_channels, out_channels, each(kernel_size), each(stride),
            padding if isinstance(padding, str) else each(padding), each(dilation), False, each(0), groups, False,
            padding_mode,
        )  # fmt: skip
        self._add_bn(_BN[self._dims](out_channels, eps, momentum, True, True), out_channels, bias, freeze_bn, qconfig)
        # Convolves twice, and needs no division by a factor that may be tiny.
        self._enable_slow_path_for_better_numerical_stability = False

    def reset_bn_parameters(self) -> None:
        """Forget the statistics, and draw the weight of the normalisation and the bias."""
        super().reset_bn_parameters()
        if self.bias is not None:
            bound = 1 / math.sqrt(init._calculate_fan_in_and_fan_out(self.weight)[0])
            init.uniform_(self.bias, -bound, bound)

    def _wide(self, vector: Any) -> Any:
        return vector.reshape([1, -1] + [1] * self._dims)

    def _nothing(self, input: Any) -> Any:
        return zeros(self.out_channels, device=self.weight.device, dtype=input.dtype)

    def _forward(self, input: Any) -> Any:
        if self._enable_slow_path_for_better_numerical_stability:
            return self._forward_slow(input)
        factor, weight = self._folded()
        out = self._conv_forward(input, weight, self._nothing(input)) / self._wide(factor)
        return self.bn(out if self.bias is None else out + self._wide(self.bias))

    def _forward_slow(self, input: Any) -> Any:
        bn, bias = self.bn, 0 if self.bias is None else self.bias
        nothing = self._nothing(input)
        if bn.training:
            plain = self._conv_forward(input, self.weight, nothing)
            with no_grad():
                bn(plain if self.bias is None else plain + self._wide(self.bias))
            _, weight = self._folded()
            over = [0, *range(2, self.weight.dim())]
            mean = plain.mean(over)
            std = ((plain - self._wide(mean)).square().mean(over) + bn.eps).sqrt()
            running_std = (bn.running_var + bn.eps).sqrt()
            out = self._conv_forward(input, weight, nothing) * self._wide(running_std / std)
        else:
            _, weight = self._folded()
            out = self._conv_forward(input, weight, nothing)
            mean, std = bn.running_mean - bias, (bn.running_var + bn.eps).sqrt()
        out = out + self._wide(bn.bias - bn.weight * mean / std)
        # The batch's mean takes the bias away again; it keeps a gradient of zero.
        return out if self.bias is None else out + self._wide(self.bias - self.bias)

    def forward(self, input: Any) -> Any:
        """Convolve with the rounded weight, and normalise."""
        out = self._forward(input)
        return out if self._FLOAT_RELU_MODULE is None else F.relu(out)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        if (local_metadata.get("version") or 1) == 1:
            for name, old in _OLD_NAMES.items():
                if prefix + old in state_dict:
                    state_dict[prefix + name] = state_dict.pop(prefix + old)
                elif prefix + name not in state_dict and strict:
                    missing_keys.append(prefix + name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; it shares the parameters and statistics.

        Args:
            mod: the container, with ``qconfig``.
            use_precomputed_fake_quant: accepted for torch's sake; nothing is computed beforehand.

        Raises:
            AssertionError: a module of another type, or without ``qconfig``.
        """
        check_float(cls, mod)
        conv, bn = mod[0], mod[1]
        new = cls(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation,
            conv.groups, conv.bias is not None, conv.padding_mode, bn.eps, bn.momentum, False, mod.qconfig,
        )  # fmt: skip
        return new._take_bn(conv, bn)

    def to_float(self) -> Any:
        """One plain convolution that normalises too, then ReLU where there is one; not rounded."""
        conv, bn = float_conv(self), self.bn
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
        )
        if self._FLOAT_RELU_MODULE is not None:
            conv = self._FUSED_FLOAT_MODULE(conv, self._FLOAT_RELU_MODULE())
        return conv.train(self.training)


class _ThenReLU:
    """A convolution that rounds its weight, then ReLU: what that adds to the convolution, before which it stands."""

    def forward(self: Any, input: Any) -> Any:
        """Convolve with the rounded weight, and drop what is negative."""
        return F.relu(self._conv_forward(input, self.weight_fake_quant(self.weight), self.bias))


class ConvBn1d(_ConvBnNd, nn.Conv1d):
    """``Conv1d`` and ``BatchNorm1d`` in one, with the weight rounded after the normalisation is folded into it.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode: those of
            the convolution; there is no bias by default.
        eps, momentum: those of the normalisation.
        freeze_bn: normalise with the running statistics.
        qconfig: ``qconfig.weight`` makes what rounds.

    Shape: that of the convolution.

    Raises:
        AssertionError: no ``qconfig``.

    Example:
        >>> import rushlight as torch
        >>> layer = ConvBn1d(2, 3, 1, qconfig=torch.ao.quantization.default_qat_qconfig)
        >>> layer(torch.randn(4, 2, 5)).shape
        torch.Size([4, 3, 5])
    """

    _dims = 1
    _FLOAT_MODULE, _FLOAT_CONV_MODULE, _FLOAT_BN_MODULE = nni.ConvBn1d, nn.Conv1d, nn.BatchNorm1d


class ConvBnReLU1d(ConvBn1d):
    """``ConvBn1d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_RELU_MODULE, _FUSED_FLOAT_MODULE = nni.ConvBnReLU1d, nn.ReLU, nni.ConvReLU1d


class ConvReLU1d(_ThenReLU, nnqat.Conv1d, _FusedModule):
    """``qat.Conv1d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_BN_MODULE, _FLOAT_RELU_MODULE = nni.ConvReLU1d, None, nn.ReLU


class ConvBn2d(_ConvBnNd, nn.Conv2d):
    """``Conv2d`` and ``BatchNorm2d`` in one; see ``ConvBn1d``."""

    _dims = 2
    _FLOAT_MODULE, _FLOAT_CONV_MODULE, _FLOAT_BN_MODULE = nni.ConvBn2d, nn.Conv2d, nn.BatchNorm2d


class ConvBnReLU2d(ConvBn2d):
    """``ConvBn2d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_RELU_MODULE, _FUSED_FLOAT_MODULE = nni.ConvBnReLU2d, nn.ReLU, nni.ConvReLU2d


class ConvReLU2d(_ThenReLU, nnqat.Conv2d, _FusedModule):
    """``qat.Conv2d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_BN_MODULE, _FLOAT_RELU_MODULE = nni.ConvReLU2d, None, nn.ReLU


class ConvBn3d(_ConvBnNd, nn.Conv3d):
    """``Conv3d`` and ``BatchNorm3d`` in one; see ``ConvBn1d``."""

    _dims = 3
    _FLOAT_MODULE, _FLOAT_CONV_MODULE, _FLOAT_BN_MODULE = nni.ConvBn3d, nn.Conv3d, nn.BatchNorm3d


class ConvBnReLU3d(ConvBn3d):
    """``ConvBn3d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_RELU_MODULE, _FUSED_FLOAT_MODULE = nni.ConvBnReLU3d, nn.ReLU, nni.ConvReLU3d


class ConvReLU3d(_ThenReLU, nnqat.Conv3d, _FusedModule):
    """``qat.Conv3d``, then ``ReLU``."""

    _FLOAT_MODULE, _FLOAT_BN_MODULE, _FLOAT_RELU_MODULE = nni.ConvReLU3d, None, nn.ReLU


def update_bn_stats(mod: Any) -> None:
    """Let a fused convolution keep running statistics; for ``Module.apply``."""
    if isinstance(mod, _ConvBnNd):
        mod.update_bn_stats()


def freeze_bn_stats(mod: Any) -> None:
    """Let a fused convolution normalise with the running statistics, which stay; for ``Module.apply``."""
    if isinstance(mod, _ConvBnNd):
        mod.freeze_bn_stats()


__all__ = [
    "ConvBn1d", "ConvBn2d", "ConvBn3d", "ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d", "ConvReLU1d", "ConvReLU2d",
    "ConvReLU3d", "freeze_bn_stats", "update_bn_stats",
]  # fmt: skip
