"""Owns the linear layer that rounds its weight while training.

May import nn and the fused containers.
"""

from __future__ import annotations

from typing import Any

from ..... import nn
from .....nn import functional as F
from .....nn.parameter import Parameter
from .....nn.utils.parametrize import (
    is_parametrized,
    transfer_parametrizations_and_params,
    type_before_parametrizations,
)
from ...intrinsic.modules.fused import _FusedModule


def need_qconfig(qconfig: Any) -> Any:
    """The ``qconfig`` of a module that rounds.

    Raises:
        AssertionError: there is none.
    """
    if not qconfig:
        raise AssertionError("qconfig must be provided for QAT module")
    return qconfig


def check_float(cls: Any, mod: Any) -> None:
    """Refuse what ``from_float`` of ``cls`` cannot take.

    Raises:
        AssertionError: a module of another type, or without ``qconfig``.
    """
    kind = type_before_parametrizations(mod)
    if kind is not cls._FLOAT_MODULE:
        raise AssertionError(
            f"qat.{cls.__name__}.from_float only works for {cls._FLOAT_MODULE.__name__}, got {kind.__name__}"
        )
    if not hasattr(mod, "qconfig"):
        raise AssertionError("Input float module must have qconfig defined")
    if not mod.qconfig:
        raise AssertionError("Input float module must have a valid qconfig")


def copy_values(source: Any, to: Any) -> Any:
    """Give ``to`` new parameters with the weight and bias of ``source``."""
    to.weight = Parameter(source.weight.detach())
    if source.bias is not None:
        to.bias = Parameter(source.bias.detach())
    return to


class Linear(nn.Linear):
    """A linear map whose weight is rounded to the quantization grid each time.

    Args:
        in_features, out_features, bias, device, dtype: those of ``nn.Linear``.
        qconfig: ``qconfig.weight`` makes what rounds.

    Raises:
        AssertionError: no ``qconfig``.

    Example:
        >>> import rushlight as torch
        >>> layer = Linear(2, 1, qconfig=torch.ao.quantization.default_qat_qconfig)
        >>> layer.weight_fake_quant.dtype
        torch.qint8
    """

    _FLOAT_MODULE: Any = nn.Linear

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.qconfig = need_qconfig(qconfig)
        self.weight_fake_quant = qconfig.weight(factory_kwargs={"device": device, "dtype": dtype})

    def forward(self, input: Any) -> Any:
        """``input @ rounded weight.T + bias``."""
        return F.linear(input, self.weight_fake_quant(self.weight), self.bias)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; it shares the parameters.

        Args:
            mod: an ``nn.Linear`` with ``qconfig``.
            use_precomputed_fake_quant: accepted for torch's sake; nothing is computed beforehand.

        Raises:
            AssertionError: a module of another type, or without ``qconfig``.
        """
        check_float(cls, mod)
        if isinstance(mod, _FusedModule):
            mod = mod[0]
        new = cls(mod.in_features, mod.out_features, bias=mod.bias is not None, qconfig=mod.qconfig)
        for name in ("weight", "bias"):
            if is_parametrized(mod, name):
                transfer_parametrizations_and_params(mod, new, name)
            else:
                setattr(new, name, getattr(mod, name))
        return new

    def to_float(self) -> Any:
        """An ``nn.Linear`` with the values of this one, not rounded."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        return copy_values(self, linear).train(self.training)


__all__ = ["Linear"]
