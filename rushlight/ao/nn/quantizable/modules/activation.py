"""Owns multi-head attention built from plain linear layers, so that every step of it can be watched and rounded.

May import nn and the wrapped operators; the marks on first use.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..... import dtypes, nn
from .....nn import functional as F
from .....nn.parameter import Parameter
from .....ops.creation import zeros
from .....ops.join import cat
from .....ops.products import bmm
from ...quantized import FloatFunctional


def _as_bool(mask: Any, name: str) -> Any:
    if mask is None or mask.dtype != dtypes.uint8:
        return mask
    warnings.warn(
        f"Byte tensor for `{name}` in `nn.MultiheadAttention` is deprecated. Use bool tensor instead.", stacklevel=4
    )
    return mask.to(dtypes.bool_)


def _wider(*masks: Any) -> list:
    """The masks with room for one more key."""
    return [None if m is None else F.pad(m, (0, 1)) for m in masks]


class MultiheadAttention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` with a linear layer each for queries, keys and values (Vaswani et al. 2017).

    Args:
        embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device, dtype: those
            of ``nn.MultiheadAttention``.

    Shape: that of ``nn.MultiheadAttention`` with batches.
    """

    _FLOAT_MODULE = nn.MultiheadAttention
    __constants__ = ["batch_first"]

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        from ....quantization.stubs import DeQuantStub, QuantStub  # in a package that imports this file

        super().__init__(
            embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, device=device,
            dtype=dtype,
        )  # fmt: skip
        sizes = {"linear_Q": embed_dim, "linear_K": self.kdim, "linear_V": self.vdim, "out_proj": embed_dim}
        for name, size in sizes.items():
            setattr(self, name, nn.Linear(size, embed_dim, bias=bias, device=device, dtype=dtype))
        self.q_scaling_product = FloatFunctional()
        self.quant_attn_output, self.quant_attn_output_weights = QuantStub(), QuantStub()
        self.dequant_q, self.dequant_k, self.dequant_v = DeQuantStub(), DeQuantStub(), DeQuantStub()

    def _get_name(self) -> str:
        return "QuantizableMultiheadAttention"

    @classmethod
    def from_float(cls, other: Any) -> Any:
        """The form of an ``nn.MultiheadAttention`` whose parts can be watched, prepared, in evaluation mode.

        Raises:
            AssertionError: a module of another type, or without ``qconfig``.
        """
        from ....quantization.quantize import prepare  # which imports this file

        if type(other) is not cls._FLOAT_MODULE:
            raise AssertionError(f"Expected type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig"):
            raise AssertionError("The float module must have 'qconfig'")
        observed: Any = cls(
            other.embed_dim, other.num_heads, other.dropout, other.in_proj_bias is not None, other.bias_k is not None,
            other.add_zero_attn, other.kdim, other.vdim, other.batch_first,
        )  # fmt: skip
        observed.bias_k, observed.bias_v, observed.qconfig = other.bias_k, other.bias_v, other.qconfig
        observed.out_proj.weight, observed.out_proj.bias = other.out_proj.weight, other.out_proj.bias
        layers = (observed.linear_Q, observed.linear_K, observed.linear_V)
        if other._qkv_same_embed_dim:
            weights = other.in_proj_weight.chunk(3)
        else:
            weights = (other.q_proj_weight, other.k_proj_weight, other.v_proj_weight)
        biases = [None] * 3 if other.in_proj_bias is None else other.in_proj_bias.chunk(3)
        for layer, weight, bias in zip(layers, weights, biases):
            layer.weight = Parameter(weight, weight.requires_grad)
            layer.bias = None if bias is None else Parameter(bias, bias.requires_grad)
        observed.eval()
        return prepare(observed, inplace=True)

    @classmethod
    def from_observed(cls, other: Any) -> Any:
        """Refused, as in torch."""
        raise NotImplementedError(
            "It looks like you are trying to prepare an MHA module. Please, see the examples on quantizable MHAs."
        )

    def dequantize(self) -> Any:
        """Refused: this would give a plain module from one with integer weights.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "quantizable.MultiheadAttention.dequantize is not supported by rushlight: there are no integer weights. "
            "Read the weights of linear_Q, linear_K, linear_V and out_proj."
        )

    def _check(self, query: Any, key: Any, value: Any, attn_mask: Any) -> None:
        if query.size(2) != self.embed_dim:
            raise AssertionError(f"embed_dim mismatch: {self.embed_dim} != {query.size(2)}")
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(f"key and value size mismatch: key.size()={key.size()}, value.size()={value.size()}")
        if attn_mask is None:
            return
        if not attn_mask.is_floating_point() and attn_mask.dtype != dtypes.bool_:
            raise AssertionError(f"Only float and bool types are supported for attn_mask, not {attn_mask.dtype}")
        if attn_mask.dim() not in (2, 3):
            raise RuntimeError(f"attn_mask's dimension {attn_mask.dim()} is not supported")
        heads = (query.size(1) * self.num_heads,) if attn_mask.dim() == 3 else ()
        if tuple(attn_mask.shape) != (*heads, query.size(0), key.size(0)):
            raise RuntimeError(f"The size of the {attn_mask.dim()}D attn_mask is not correct.")

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """Attend; as in torch, with ``batch_first`` the result is read in that order without being transposed.

        Raises:
            AssertionError: a causal hint, or sizes that do not fit.
            RuntimeError: a mask of the wrong size.
        """
        if is_causal:
            both = "Only allow causal mask or attn_mask" if attn_mask is not None else None
            raise AssertionError(both or "causal mask not supported by AO MHA module")
        if self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        attn_mask = _as_bool(attn_mask, "attn_mask")
        key_padding_mask = _as_bool(key_padding_mask, "key_padding_mask")
        self._check(query, key, value, attn_mask)
        length, batch, _ = query.shape
        size = self.embed_dim // self.num_heads
        layers: Any = (self.linear_Q, self.linear_K, self.linear_V)
        q, k, v = (layer(x) for layer, x in zip(layers, (query, key, value)))
        q = self.q_scaling_product.mul_scalar(q, float(size) ** -0.5)
        if self.bias_k is not None and self.bias_v is not None:
            k = cat([k, self.bias_k.repeat(1, batch, 1)])
            v = cat([v, self.bias_v.repeat(1, batch, 1)])
            attn_mask, key_padding_mask = _wider(attn_mask, key_padding_mask)
        q, k, v = (x.contiguous().view(-1, batch * self.num_heads, size).transpose(0, 1) for x in (q, k, v))
        if self.add_zero_attn:
            nothing = zeros(k.size(0), 1, size, dtype=k.dtype, device=k.device)
            k, v = cat([k, nothing], dim=1), cat([v, nothing], dim=1)
            attn_mask, key_padding_mask = _wider(attn_mask, key_padding_mask)
        q, k, v = self.dequant_q(q), self.dequant_k(k), self.dequant_v(v)
        weights = bmm(q, k.transpose(1, 2))
        if attn_mask is not None:
            no = attn_mask.dtype == dtypes.bool_
            weights = weights.masked_fill(attn_mask, float("-inf")) if no else weights + attn_mask
        by_head = (batch, self.num_heads, length, k.size(1))
        if key_padding_mask is not None:
            hidden = key_padding_mask.unsqueeze(1).unsqueeze(2)
            weights = weights.view(by_head).masked_fill(hidden, float("-inf")).view(weights.shape)
        weights = F.dropout(F.softmax(weights, dim=-1), p=self.dropout, training=self.training)
        out = bmm(weights, v)
        if self.batch_first:
            out = out.view(batch, length, self.embed_dim)
        else:
            out = out.transpose(0, 1).contiguous().view(length, batch, self.embed_dim)
        out = self.out_proj(self.quant_attn_output(out))
        weights = self.quant_attn_output_weights(weights)
        if not need_weights:
            return out, None
        weights = weights.view(by_head)
        return out, weights.mean(dim=1) if average_attn_weights else weights


__all__ = ["MultiheadAttention"]
