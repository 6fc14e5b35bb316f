"""Owns the pure functions that pool regions of feature maps: points between pixels, maxima and means of pixels.

May import the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from ._op import Array, op

# How many elements one step of the loop over regions may gather.
_STEP = 1 << 22


def _over_regions(function, parts, cost):
    """``function`` of each region, as many at a time as fit."""
    count = parts[0].shape[0]
    return lax.map(lambda one: function(*one), parts, batch_size=max(1, min(count, _STEP // max(cost, 1))))


def _points(start, length, bins, ratio, grid, pixels):
    """For each region and bin the two pixels around each of its points along an axis, and their shares.

    Returns:
        places and shares of shape (K, bins, 2 * grid), and how many points a bin has.
    """
    step = (length / bins)[:, None, None]
    count = jnp.full(length.shape, ratio, length.dtype) if ratio > 0 else jnp.ceil(length / bins)
    nth = jnp.arange(grid, dtype=length.dtype)
    at = start[:, None, None] + jnp.arange(bins, dtype=length.dtype)[:, None] * step
    at = at + (nth + 0.5) * step / jnp.maximum(count, 1)[:, None, None]
    there = (nth < count[:, None, None]) & (at >= -1) & (at <= pixels)
    at = jnp.where(there, jnp.maximum(at, 0), 0)
    low = jnp.minimum(at.astype(jnp.int32), pixels - 1)
    high = jnp.minimum(low + 1, pixels - 1)
    share = at - low  # at the border both pixels are the last one
    places = jnp.concatenate([low, high], 2)
    return places, jnp.concatenate([jnp.where(there, 1 - share, 0), jnp.where(there, share, 0)], 2), count


@op(name="roi_align", method=False)
def _sampled(input: Array, rois: Array, scale, size, ratio, aligned, grid, own):
    """Means of points; ``own``: each bin has channels of its own."""
    batch, channels, height, width = input.shape
    outs = channels // (size[0] * size[1]) if own else channels
    if 0 in (rois.shape[0], channels):
        return jnp.zeros((rois.shape[0], outs, *size), input.dtype)
    boxes = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    left, top = boxes[:, 0], boxes[:, 1]
    across, down = boxes[:, 2] - left, boxes[:, 3] - top
    if not aligned:
        across, down = jnp.maximum(across, 1), jnp.maximum(down, 1)
    rows, row_shares, many = _points(top, down, size[0], ratio, grid[0], height)
    columns, column_shares, wide = _points(left, across, size[1], ratio, grid[1], width)
    count = many * wide
    count = count if own else jnp.maximum(count, 1)
    if own:
        maps = input.reshape(batch, outs, *size, height, width).transpose(0, 2, 3, 4, 5, 1)
        bins = (jnp.arange(size[0])[:, None, None, None], jnp.arange(size[1])[:, None])
    else:
        maps, bins = input.transpose(0, 2, 3, 1), ()

    def one(image, row, row_share, column, column_share):
        # Channels lie together, so that each point is one contiguous read.
        taken = maps[(image, *bins, row[:, :, None, None], column[None, None])]
        return jnp.einsum("pa,paqbc,qb->cpq", row_share, taken, column_share)

    cost = rows[0].size * columns[0].size * outs
    images = rois[:, 0].astype(jnp.int32)
    found = _over_regions(one, (images, rows, row_shares, columns, column_shares), cost)
    return found / count[:, None, None, None]


def _rounded(values):
    """Halves go away from zero, as C has it."""
    return jnp.trunc(values + jnp.copysign(0.5, values)).astype(jnp.int32)


def _windows(start, length, bins, last, dtype):
    """Which pixels of an axis each bin of each region holds: from, and up to, both no further than ``last``."""
    step = length.astype(dtype) / bins
    nth = jnp.arange(bins, dtype=dtype)
    begin = jnp.floor(nth * step[:, None]).astype(jnp.int32) + start[:, None]
    end = jnp.ceil((nth + 1) * step[:, None]).astype(jnp.int32) + start[:, None]
    return jnp.clip(begin, 0, last), jnp.clip(end, 0, last)


def _held(begin, end, pixels):
    """The same as a mask of shape (K, bins, pixels)."""
    place = jnp.arange(pixels)
    return (place >= begin[..., None]) & (place < end[..., None])


@op(name="roi_pool", method=False)
def _roi_pool(input: Array, rois: Array, scale, size):
    _, channels, height, width = input.shape
    shape = (rois.shape[0], channels, *size)
    if 0 in shape:
        return jnp.zeros(shape, input.dtype), jnp.zeros(shape, jnp.int32)
    edges = _rounded(rois[:, 1:] * scale)
    lengths = jnp.maximum(edges[:, 2:] - edges[:, :2] + 1, 1)
    rows = _held(*_windows(edges[:, 1], lengths[:, 1], size[0], height, rois.dtype), height)
    columns = _held(*_windows(edges[:, 0], lengths[:, 0], size[1], width, rois.dtype), width)
    images, still = rois[:, 0].astype(jnp.int32), lax.stop_gradient(input)
    none, far = jnp.asarray(-jnp.inf, input.dtype), height * width

    def one(image, row, column):
        # Rows first, then columns; of equal maxima the first in the map counts.
        each = jnp.where(row[:, :, None], still[image][:, None], none)
        best = each.max(2)
        first = jnp.where(each == best[:, :, None], jnp.arange(height)[:, None], height).min(2)
        wide = jnp.where(column, best[:, :, None], none)
        place = first[:, :, None] * width + jnp.arange(width)
        return jnp.where(column & (wide == wide.max(3, keepdims=True)), place, far).min(3)

    where = _over_regions(one, (images, rows, columns), channels * size[0] * height * width)
    full = rows.any(2)[:, None, :, None] & columns.any(2)[:, None, None, :] & (where < far)
    start = (images[:, None] * channels + jnp.arange(channels)) * far
    # One read for all regions, so that its derivative is one addition into the maps.
    taken = input.reshape(-1)[start[:, :, None, None] + jnp.where(full, where, 0)]
    return jnp.where(full, taken, 0), jnp.where(full, where, -1).astype(jnp.int32)


@op(name="ps_roi_pool", method=False)
def _ps_roi_pool(input: Array, rois: Array, scale, size):
    batch, channels, height, width = input.shape
    outs = channels // (size[0] * size[1])
    if 0 in (rois.shape[0], outs):
        return jnp.zeros((rois.shape[0], outs, *size), input.dtype)
    edges = _rounded(rois[:, 1:] * scale)
    lengths = jnp.maximum(edges[:, 2:] - edges[:, :2], 1)
    rows = _held(*_windows(edges[:, 1], lengths[:, 1], size[0], height - 1, rois.dtype), height).astype(input.dtype)
    columns = _held(*_windows(edges[:, 0], lengths[:, 0], size[1], width - 1, rois.dtype), width).astype(input.dtype)
    maps = input.reshape(batch, outs, *size, height, width)

    def one(image, row, column):
        return jnp.einsum("ph,cpqhw,qw->cpq", row, maps[image], column)

    found = _over_regions(one, (rois[:, 0].astype(jnp.int32), rows, columns), channels * height * width)
    area = rows.sum(2)[:, None, :, None] * columns.sum(2)[:, None, None, :]
    return jnp.where(area > 0, found / jnp.maximum(area, 1), 0)


__all__: list[str] = []
