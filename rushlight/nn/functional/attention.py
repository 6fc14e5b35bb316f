"""Owns ``multi_head_attention_forward`` and the checks and masks that go with it.

May import the operators.
"""

from __future__ import annotations

import warnings
from typing import Any

from ... import dtypes
from ..._tensor.tensor import Tensor
from ...ops import nn_heads as heads
from ...ops.creation import empty, zeros, zeros_like
from ...ops.join import cat
from ...ops.nn_attention import scaled_dot_product_attention
from ...ops.nn_linear import linear
from ...ops.nn_pad import pad


def _none_or_dtype(input: Any) -> Any:
    """The dtype of an optional mask.

    Raises:
        RuntimeError: neither a tensor nor None.
    """
    if input is None:
        return None
    if isinstance(input, Tensor):
        return input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _canonical_mask(
    mask: Tensor | None, mask_name: str, other_type: Any, other_name: str, target_type: Any, check_other: bool = True
) -> Tensor | None:
    """A mask as numbers to add: True becomes minus infinity.

    Raises:
        AssertionError: the mask is neither bool nor floating point.
    """
    if mask is None:
        return None
    is_float = mask.is_floating_point()
    if mask.dtype is not dtypes.bool_ and not is_float:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype is not other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    return mask if is_float else zeros_like(mask, dtype=target_type).masked_fill_(mask, float("-inf"))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _mha_shape_check(query, key, value, key_padding_mask, attn_mask, num_heads) -> bool:
    """Whether the input has a batch dimension.

    Raises:
        AssertionError: tensors or masks of other dimensions.
    """
    ndim = query.dim()
    if ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor")
    kind = "For batched (3-D) `query`" if ndim == 3 else "For unbatched (2-D) `query`"
    _require(
        key.dim() == ndim and value.dim() == ndim,
        f"{kind}, expected `key` and `value` to be {ndim}-D but found {key.dim()}-D and {value.dim()}-D tensors "
        "respectively",
    )
    if key_padding_mask is not None:
        _require(
            key_padding_mask.dim() == ndim - 1,
            f"{kind}, expected `key_padding_mask` to be `None` or {ndim - 1}-D but found {key_padding_mask.dim()}-D "
            "tensor instead",
        )
    if attn_mask is not None:
        _require(
            attn_mask.dim() in (2, 3),
            f"{kind}, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead",
        )
        expected = (num_heads, query.shape[0], key.shape[0])
        if ndim == 2 and attn_mask.dim() == 3:
            _require(
                attn_mask.shape == expected, f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}"
            )
    return ndim == 3


def _project_packed(query, key, value, weight, bias, num_heads):
    """Queries, keys and values from one weight, in as few products as the inputs allow."""
    if query is key and key is value:
        return heads.project(query, weight, bias, 3, num_heads)
    size = query.size(-1)
    if key is value:
        w_q, w_kv = weight.split([size, 2 * size])
        b_q, b_kv = (None, None) if bias is None else bias.split([size, 2 * size])
        return heads.project(query, w_q, b_q, 1, num_heads), *heads.project(key, w_kv, b_kv, 2, num_heads)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(heads.project(x, w, b, 1, num_heads) for x, w, b in zip((query, key, value), weight.chunk(3), biases))


def _project_apart(query, key, value, weights, bias, num_heads):
    """Queries, keys and values from a weight each.

    Raises:
        AssertionError: a weight that is missing, or does not fit.
    """
    for name, weight in zip("qkv", weights):
        _require(weight is not None, f"use_separate_proj_weight is True but {name}_proj_weight is None")
    size = query.size(-1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    for name, x, weight in zip(("query", "key", "value"), (query, key, value), weights):
        expected = (size, x.size(-1))
        _require(weight.shape == expected, f"expecting {name} weights shape of {expected}, but got {weight.shape}")
    for name, b in zip(("query", "key", "value"), biases):
        _require(
            b is None or b.shape == (size,),
            f"expecting {name} bias shape of {(size,)}, but got {b is not None and b.shape}",
        )
    return tuple(heads.project(x, w, b, 1, num_heads) for x, w, b in zip((query, key, value), weights, biases))


def _static(name, given, rows, size, shape):
    _require(given.size(0) == rows, f"expecting {name}.size(0) of {rows}, but got {given.size(0)}")
    _require(given.size(2) == size, f"expecting {name}.size(2) of {size}, but got {given.size(2)}")
    return given.view(shape)


def _check_attention_mask(mask, batch, num_heads, rows, columns):
    """A mask as ``(1 or N, 1 or heads, L, S)``.

    Raises:
        RuntimeError: another shape.
    """
    expected = (rows, columns) if mask.dim() == 2 else (batch * num_heads, rows, columns)
    if mask.shape != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask[None, None] if mask.dim() == 2 else mask.view(batch, num_heads, rows, columns)


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None,
    add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None,
    training: bool = True, key_padding_mask: Tensor | None = None, need_weights: bool = True,
    attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None, static_k: Tensor | None = None,
    static_v: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention in several heads at once (Vaswani et al. 2017); ``nn.MultiheadAttention`` explains the options.

    Args:
        embed_dim_to_check: the features that ``query`` must have.
        in_proj_weight: the weights of query, key and value one above the other; or ``use_separate_proj_weight`` and one
            for each.
        static_k, static_v: keys and values to use instead of the projected ones, ``(N * heads, S, E / heads)``.

    Shape:
        query ``(L, N, E)``, key and value ``(S, N, *)``, or without N; the result ``(L, N, E)`` and, where wanted, the
        weights ``(N, L, S)`` or ``(N, heads, L, S)``.

    Raises:
        AssertionError, RuntimeError: shapes that do not fit, or ``is_causal`` without a mask.
    """
    batched = _mha_shape_check(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    rows, batch, size = query.shape
    columns = key.shape[0]
    key_padding_mask = _canonical_mask(
        key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask", query.dtype
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None  # the attention itself knows what causal means
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        is_causal = is_causal and key_padding_mask is None and not need_weights
    _require(size == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {size}")
    each = size // num_heads
    _require(each * num_heads == size, f"embed_dim {size} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        _require(
            key.shape[:2] == value.shape[:2],
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
        )
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_apart(query, key, value, weights, in_proj_bias, num_heads)
    else:
        _require(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")
        _require(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias, num_heads)
    if attn_mask is not None:
        attn_mask = _check_attention_mask(attn_mask, batch, num_heads, rows, columns)
    more = 0
    if bias_k is not None and bias_v is not None:
        _require(static_k is None, "bias cannot be added to static key.")
        _require(static_v is None, "bias cannot be added to static value.")
        k, v = (
            cat([x, b.view(1, num_heads, 1, each).expand(batch, -1, -1, -1)], 2) for x, b in ((k, bias_k), (v, bias_v))
        )
        more += 1
    else:
        _require(bias_k is None, "bias_k is set but bias_v is None")
        _require(bias_v is None, "bias_v is set but bias_k is None")
    shape = (batch, num_heads, -1, each)
    if static_k is not None:
        k = _static("static_k", static_k, batch * num_heads, each, shape)
    if static_v is not None:
        v = _static("static_v", static_v, batch * num_heads, each, shape)
    if add_zero_attn:
        nothing = zeros((batch, num_heads, 1, each), dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
        more += 1
    if more and attn_mask is not None:
        attn_mask = pad(attn_mask, (0, more))
    if key_padding_mask is not None:
        padding = pad(key_padding_mask, (0, more)) if more else key_padding_mask
        for dim, wanted in enumerate((batch, k.size(2))):
            found = padding.shape[dim]
            _require(found == wanted, f"Expected key_padded_mask.shape[{dim}] to be {wanted}, but got {found}")
        padding = padding[:, None, None, :]
        attn_mask = padding if attn_mask is None else attn_mask + padding
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        noise = None
        if dropout_p > 0.0:
            noise = empty((*q.shape[:3], k.size(2)), dtype=q.dtype, device=q.device).bernoulli_(1 - dropout_p)
        out, weights = heads.attend(q, k, v, attn_mask, noise, 1 - dropout_p or 1.0)
        if average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            weights = weights.squeeze(0)
    else:
        out = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
    out = linear(heads.merge(out), out_proj_weight, out_proj_bias)
    return out if batched else out.squeeze(1), weights


__all__ = ["multi_head_attention_forward"]
