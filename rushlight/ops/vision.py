"""Owns the operators of detection models: suppression of overlapping boxes, pooling of regions, deformable convolution.

May import the door, convert, creation, the tape's modes, the custom operators' names and jax. ``torch.ops.torchvision``
offers them under the names and signatures that the package torchvision calls.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import dtypes
from .._errors import not_supported
from .._graph.modes import state
from .._tensor.tensor import Tensor
from . import _custom
from ._op import Array, op
from .creation import tensor, zeros
from .vision_regions import _ps_roi_pool, _roi_pool, _sampled


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def _steady(*tensors: Tensor) -> list[Tensor]:
    """Under autocast, floats of lower precision as float32, as torchvision has it; otherwise as they are."""
    if state.autocast is None:
        return list(tensors)
    return [t.float() if t.is_floating_point() and t.dtype is not dtypes.float64 else t for t in tensors]


# -- suppression ------------------------------------------------------------------------------------------------


@jax.jit
def _survivors(boxes, count, threshold):
    """Which boxes, best first, overlap with no better one that survives; ``count`` of them are real."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    place = jnp.arange(len(boxes))

    def judge(i, alive):
        width = jnp.maximum(jnp.minimum(x2[i], x2) - jnp.maximum(x1[i], x1), 0)
        height = jnp.maximum(jnp.minimum(y2[i], y2) - jnp.maximum(y1[i], y1), 0)
        common = width * height
        # Two boxes without area give NaN, which is not greater: neither suppresses the other.
        near = common / (areas[i] + areas - common) > threshold
        return alive & ~(alive[i] & near & (place > i))

    return lax.fori_loop(0, count, judge, place < count)


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes to keep, best first: each one suppresses those after it that overlap with it too much.

    How many there are depends on the values, so the result is computed at once, also inside ``torch.compile``, which
    then runs the function eagerly.

    Args:
        dets: boxes (x1, y1, x2, y2).
        scores: one for each box.
        iou_threshold: how much of the union of two boxes may be common to both.

    Shape:
        dets (N, 4), scores (N) -> places of the boxes that are kept, int64.

    Raises:
        RuntimeError: other shapes, or two types.

    Example:
        >>> import rushlight as torch
        >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]])
        >>> torch.ops.torchvision.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5)
        tensor([1, 2])
    """
    dets, scores = _steady(dets, scores)
    _check(dets.dim() == 2, f"boxes should be a 2d tensor, got {dets.dim()}D")
    _check(dets.shape[1] == 4, f"boxes should have 4 elements in dimension 1, got {dets.shape[1]}")
    _check(scores.dim() == 1, f"scores should be a 1d tensor, got {scores.dim()}D")
    _check(
        dets.shape[0] == scores.shape[0],
        f"boxes and scores should have same number of elements in dimension 0, got {dets.shape[0]} and "
        f"{scores.shape[0]}",
    )
    _check(dets.dtype is scores.dtype, "dets should have the same type as scores")
    count = dets.shape[0]
    if not count:
        return tensor([], dtype=dtypes.int64, device=dets.device)
    worth = scores.detach().cpu().numpy()
    order = np.lexsort((-worth, ~np.isnan(worth)))  # torch puts NaN first
    # Padded, so that programs are compiled for powers of two alone.
    padded = np.zeros((max(16, 1 << (count - 1).bit_length()), 4), dets.dtype.np)
    padded[:count] = dets.detach().cpu().numpy()[order]
    alive = np.asarray(_survivors(padded, count, float(iou_threshold)))[:count]
    return tensor(order[alive], dtype=dtypes.int64, device=dets.device)


# -- regions ----------------------------------------------------------------------------------------------------


def _regions(
    input: Tensor, rois: Tensor, height: int, width: int, message: str, own: bool = False
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """The two as the operators take them, and the size of grids, whose bins may have channels of their own."""
    input, rois = _steady(input, rois)
    _check(rois.dim() == 2 and rois.shape[1] == 5, "Tensor rois should have shape as Tensor[K, 5]")
    _check(input.dim() == 4, f"input should be a 4d tensor, got {input.dim()}D")
    _check(input.dtype is rois.dtype, message)
    fits = not own or input.shape[1] % (height * width) == 0
    _check(fits, "input channels must be a multiple of pooling height * pooling width")
    return input, rois.detach(), (int(height), int(width))  # no gradient goes to the regions


_ALIGN, _POOL = "input should have the same type as rois", "input and rois must have the same dtype"


def _grid(rois: Tensor, scale: float, size: tuple[int, int], ratio: int, forced: bool) -> tuple[int, int]:
    """How many points each bin needs at most along both axes; without a ratio that depends on the regions."""
    if ratio > 0:
        return ratio, ratio
    boxes = rois.cpu().numpy()[:, 1:].astype(np.float64) * scale
    found = []
    for axis, bins in zip((1, 0), size):
        longest = float(np.max(boxes[:, axis + 2] - boxes[:, axis], initial=0.0))
        need = max(1, math.ceil(max(longest, 1.0 if forced else 0.0) / bins + 1e-3))
        found.append(1 << (need - 1).bit_length())
    return found[0], found[1]


def roi_align(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int, sampling_ratio: int,
    aligned: bool = False,
) -> Tensor:  # fmt: skip
    """Regions of feature maps as grids of one size: means of points between the pixels (He et al., Mask R-CNN, 2017).

    Without a sampling ratio the number of points depends on the regions' sizes, which are then read at once.

    Args:
        input: feature maps.
        rois: regions: the map's place in the batch, and the box (x1, y1, x2, y2).
        spatial_scale: what boxes are multiplied by, to be in pixels of the maps.
        pooled_height, pooled_width: bins of the grid.
        sampling_ratio: points in each bin along each axis; 0 or less: as many as there are pixels.
        aligned: let pixels lie at the middle of their squares, and boxes be as small as they are.

    Shape:
        input (N, C, H, W), rois (K, 5) -> (K, C, pooled_height, pooled_width).

    Raises:
        RuntimeError: other shapes, or two types.

    Example:
        >>> import rushlight as torch
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> torch.ops.torchvision.roi_align(x, torch.tensor([[0.0, 0, 0, 2, 2]]), 1.0, 1, 1, 2, False)
        tensor([[[[5.]]]])
    """
    maps, rois, size = _regions(input, rois, pooled_height, pooled_width, _ALIGN)
    grid = _grid(rois, spatial_scale, size, sampling_ratio, not aligned)
    out = _sampled(maps, rois, float(spatial_scale), size, int(sampling_ratio), bool(aligned), grid, False)
    return out.to(input.dtype)


def _mapping(input: Tensor, rois: Tensor, size: tuple[int, int]) -> Tensor:
    """Which channel each bin was taken from."""
    each = np.arange(input.shape[1], dtype=np.int32).reshape(-1, *size)
    return tensor(np.broadcast_to(each, (rois.shape[0], *each.shape)), dtype=dtypes.int32, device=input.device)


def ps_roi_align(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    """Like ``roi_align``, with channels of its own for each bin (Li et al., Light-Head R-CNN, 2017).

    Args:
        input: feature maps.
        rois, spatial_scale, pooled_height, pooled_width, sampling_ratio: as for ``roi_align``.

    Shape:
        input (N, C * pooled_height * pooled_width, H, W), rois (K, 5) -> (K, C, pooled_height, pooled_width), and
        of the same shape the channel of each bin.

    Raises:
        RuntimeError: other shapes, or two types.
    """
    maps, rois, size = _regions(input, rois, pooled_height, pooled_width, _ALIGN, own=True)
    grid = _grid(rois, spatial_scale, size, sampling_ratio, False)
    out = _sampled(maps, rois, float(spatial_scale), size, int(sampling_ratio), True, grid, True)
    return out.to(input.dtype), _mapping(input, rois, size)


def roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int
) -> tuple[Tensor, Tensor]:
    """Regions of feature maps as grids of one size: maxima over whole pixels (Girshick, Fast R-CNN, 2015).

    Args:
        input: feature maps.
        rois, spatial_scale, pooled_height, pooled_width: as for ``roi_align``.

    Shape:
        input (N, C, H, W), rois (K, 5) -> (K, C, pooled_height, pooled_width), and of the same shape the place of
        each maximum in its map; 0 and -1 where a bin holds no pixel.

    Raises:
        RuntimeError: other shapes, or two types.
    """
    maps, rois, size = _regions(input, rois, pooled_height, pooled_width, _POOL)
    out, where = _roi_pool(maps, rois, float(spatial_scale), size)
    return out.to(input.dtype), where


def ps_roi_pool(
    input: Tensor, rois: Tensor, spatial_scale: float, pooled_height: int, pooled_width: int
) -> tuple[Tensor, Tensor]:
    """Regions as grids of means over whole pixels, with channels of its own for each bin (Dai et al., R-FCN, 2016).

    As in torchvision, the last row and column of a map belong to no bin.

    Args:
        input: feature maps.
        rois, spatial_scale, pooled_height, pooled_width: as for ``roi_align``.

    Shape:
        input (N, C * pooled_height * pooled_width, H, W), rois (K, 5) -> (K, C, pooled_height, pooled_width), and
        of the same shape the channel of each bin.

    Raises:
        RuntimeError: other shapes, or two types.
    """
    maps, rois, size = _regions(input, rois, pooled_height, pooled_width, _POOL, own=True)
    return _ps_roi_pool(maps, rois, float(spatial_scale), size).to(input.dtype), _mapping(input, rois, size)


# -- deformable convolution -------------------------------------------------------------------------------------


@op(name="deform_conv2d", method=False)
def _deformed(
    input: Array, weight: Array, offset: Array, mask: Array | None, bias: Array, stride, padding, dilation, groups,
    parts,
):  # fmt: skip
    batch, channels, height, width = input.shape
    outs, _, kh, kw = weight.shape
    oh, ow = offset.shape[2:]
    moved = offset.reshape(batch, parts, kh, kw, 2, oh, ow)

    def along(axis, kernel, count, step, pad, spread, shape):
        fixed = jnp.arange(count) * step - pad
        start = fixed.reshape(shape[1]) + (jnp.arange(kernel) * spread).reshape(shape[0])
        return moved[:, :, :, :, axis] + start.astype(input.dtype)

    y = along(0, kh, oh, stride[0], padding[0], dilation[0], ((kh, 1, 1, 1), (oh, 1)))
    x = along(1, kw, ow, stride[1], padding[1], dilation[1], ((kw, 1, 1), (ow,)))
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    top, left = jnp.floor(y), jnp.floor(x)
    flat = input.reshape(batch, parts, channels // parts, height * width)
    points = 0.0
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = top + down, left + right
        there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = (y - top if down else 1 - (y - top)) * (x - left if right else 1 - (x - left))
        place = jnp.where(there, row * width + column, 0).astype(jnp.int32).reshape(batch, parts, 1, kh * kw * oh * ow)
        taken = jnp.take_along_axis(flat, place, 3)
        points += taken * jnp.where(there, share, 0).reshape(batch, parts, 1, kh * kw * oh * ow)
    points = points.reshape(batch, parts, channels // parts, kh * kw, oh, ow)
    if mask is not None:
        points *= mask.reshape(batch, parts, 1, kh * kw, oh, ow)
    points = points.reshape(batch, groups, channels // groups, kh * kw, oh, ow)
    kernels = weight.reshape(groups, outs // groups, channels // groups, kh * kw)
    found = jnp.einsum("ngckyx,gock->ngoyx", points, kernels)
    return found.reshape(batch, outs, oh, ow) + bias[:, None, None]


def deform_conv2d(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, stride_h: int, stride_w: int,
    pad_h: int, pad_w: int, dilation_h: int, dilation_w: int, groups: int, offset_groups: int, use_mask: bool,
) -> Tensor:  # fmt: skip
    """Convolution whose points move by learned offsets and count by a learned mask (Zhu et al., DCNv2, 2019).

    Args:
        input: maps.
        weight, bias: of the convolution.
        offset: for each group of channels, each point of the kernel and each output: how far down and to the right.
        mask: for each of them, how much it counts; unless ``use_mask``, it is left alone.
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups: as for a convolution.
        offset_groups: into how many groups of channels offsets and mask divide the input.
        use_mask: whether there is a mask.

    Shape:
        input (N, C, H, W), weight (O, C / groups, kh, kw), offset (N, 2 * offset_groups * kh * kw, H', W'),
        mask (N, offset_groups * kh * kw, H', W') -> (N, O, H', W').

    Raises:
        RuntimeError: shapes that do not fit.
    """
    dtype = input.dtype
    input, weight, offset, mask, bias = _steady(input, weight, offset, mask, bias)
    _check(input.dim() == offset.dim() == weight.dim() == 4, "deform_conv2d(): expected tensors of 4 dimensions")
    _check(not use_mask or mask.dim() == 4, "deform_conv2d(): expected a mask of 4 dimensions")
    kh, kw = weight.shape[2:]
    for what, (h, w), sound in (
        ("weight", (kh, kw), min(kh, kw) > 0), ("stride", (stride_h, stride_w), min(stride_h, stride_w) > 0),
        ("pad", (pad_h, pad_w), min(pad_h, pad_w) >= 0),
        ("dilation", (dilation_h, dilation_w), min(dilation_h, dilation_w) > 0),
    ):  # fmt: skip
        _check(sound, f"{what}_h: {h} {what}_w: {w}")
    out_h = (input.shape[2] + 2 * pad_h - dilation_h * (kh - 1) - 1) // stride_h + 1
    out_w = (input.shape[3] + 2 * pad_w - dilation_w * (kw - 1) - 1) // stride_w + 1
    channels = input.shape[1]
    fits = weight.shape[1] * groups == channels and weight.shape[0] % groups == 0 and channels % offset_groups == 0
    _check(fits, f"deform_conv2d(): {channels} channels do not fit weight {tuple(weight.shape)} and {groups} groups")
    for what, held, each in (("offset", offset, 2), ("mask", mask, 1)) if use_mask else (("offset", offset, 2),):
        expected = each * offset_groups * kh * kw
        _check(held.shape[1] == expected, f"{what}.shape[1] is not valid: got: {held.shape[1]} expected: {expected}")
        _check(held.shape[0] == input.shape[0], f"invalid batch size of {what}")
        _check(
            tuple(held.shape[2:]) == (out_h, out_w),
            f"{what} output dims: ({held.shape[2]}, {held.shape[3]}) - computed output dims: ({out_h}, {out_w})",
        )
    _check(out_h > 0 and out_w > 0, f"Calculated output size too small - out_h: {out_h} out_w: {out_w}")
    if not input.shape[0]:
        return zeros((0, weight.shape[0], out_h, out_w), dtype=dtype, device=input.device)
    pairs = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
    return _deformed(input, weight, offset, mask if use_mask else None, bias, *pairs, groups, offset_groups).to(dtype)


# -- torch.ops.torchvision --------------------------------------------------------------------------------------


def _cuda_version() -> int:
    """torchvision asks which CUDA it was compiled for: none."""
    return -1


def _refused(name: str, instead: str) -> Any:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise not_supported(f"torch.ops.torchvision.{name}", instead)

    return refused


def _offer() -> None:
    namespace = _custom.namespaces.setdefault("torchvision", _custom.Namespace("torchvision"))
    offered = {f.__name__: f for f in (nms, roi_align, ps_roi_align, roi_pool, ps_roi_pool, deform_conv2d)}
    # torchvision describes these too when it is imported, so that they must have names.
    named = {f"_{name}_backward": "Gradients go through backward() and autograd.grad." for name in offered}
    named |= dict.fromkeys(("qnms", "qroi_align"), "Call it with dequantized values.")
    refused = {name: _refused(name, instead) for name, instead in named.items()}
    for name, function in {**offered, **refused, "_cuda_version": _cuda_version}.items():
        operator = _custom.find(f"torchvision::{name}")
        operator.schema, operator.function, operator.fixed = name, function, True
        vars(namespace)[name] = _custom.OpOverload(operator, lambda held, *args, **kw: held.function(*args, **kw))


_offer()

__all__: list[str] = []
