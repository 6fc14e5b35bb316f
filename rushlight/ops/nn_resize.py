"""Owns resampling: interpolation to another size, and sampling at given points.

May import the door, nn_common, nn_pool_mean and jax. Interpolation is one small matrix per dimension, built with
numpy while tracing: a product is faster than gathers on every backend, and so is its derivative.
"""

from __future__ import annotations

import functools
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from ._op import Array, op
from .nn_common import widen
from .nn_pool_mean import _adaptive_avg


def _scale(n, outs, factor, align_corners):
    if align_corners:
        return (n - 1) / (outs - 1) if outs > 1 else 0.0
    return 1.0 / factor if factor else n / outs


def _nearest_index(n, outs, factor, exact):
    scale = np.float32(_scale(n, outs, factor, False))
    at = (np.arange(outs, dtype=np.float32) + np.float32(0.5 if exact else 0)) * scale
    return np.minimum(np.floor(at).astype(np.int64), n - 1)


def _cubic(distance, a):
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


@functools.lru_cache(maxsize=256)
def _matrix(n, outs, factor, kind, align_corners, antialias):
    """The (outs, n) weights that interpolate one dimension."""
    if antialias:
        return _smooth_matrix(n, outs, factor, kind, align_corners)
    scale = _scale(n, outs, factor, align_corners)
    at = np.arange(outs) * scale if align_corners else (np.arange(outs) + 0.5) * scale - 0.5
    matrix, rows = np.zeros((outs, n)), np.arange(outs)
    if kind == "linear":
        at = np.maximum(at, 0)
        low = np.minimum(np.floor(at).astype(int), n - 1)
        share = np.clip(at - low, 0, 1)
        np.add.at(matrix, (rows, low), 1 - share)
        np.add.at(matrix, (rows, np.minimum(low + 1, n - 1)), share)
        return matrix
    low = np.floor(at).astype(int)
    for k in range(-1, 3):
        np.add.at(matrix, (rows, np.clip(low + k, 0, n - 1)), _cubic(at - low - k, -0.75))
    return matrix


def _lanczos(distance):
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


# The filters that antialiasing widens: how far they reach, and their weights.
_FILTERS = {
    "linear": (1.0, lambda d: np.maximum(1 - np.abs(d), 0)),
    "cubic": (2.0, lambda d: _cubic(d, -0.5)),
    "lanczos": (3.0, _lanczos),
}


def _smooth_matrix(n, outs, factor, kind, align_corners):
    scale = _scale(n, outs, factor, align_corners)
    support, weigh = _FILTERS[kind]
    reach = support * max(scale, 1.0)
    matrix = np.zeros((outs, n))
    for i in range(outs):
        center = scale * (i + 0.5)
        first, last = max(int(center - reach + 0.5), 0), min(int(center + reach + 0.5), n)
        distance = (np.arange(first, last) - center + 0.5) / max(scale, 1.0)
        weights = weigh(distance)
        matrix[i, first:last] = weights / weights.sum()
    return matrix


@op(name="upsample", method=False)
def _interpolate(input: Array, size, factors, mode, align_corners, antialias):
    x = input
    for i, outs in enumerate(size):
        axis, n = i + 2, input.shape[i + 2]
        factor = factors[i] if factors else None
        if mode.startswith("nearest"):
            if outs != n or factor not in (None, 1.0):
                index = _nearest_index(n, outs, factor, mode == "nearest-exact")
                if outs % n == 0 and (index == np.arange(outs) // (outs // n)).all():
                    x = jnp.repeat(x, outs // n, axis=axis)
                else:
                    x = jnp.take(x, index, axis=axis)
            continue
        kind = {"bicubic": "cubic", "lanczos": "lanczos"}.get(mode, "linear")
        matrix = _matrix(n, outs, factor, kind, align_corners, antialias)
        if outs != n or not (matrix == np.eye(n)).all():
            x = widen(x)
            product = jnp.tensordot(x, jnp.asarray(matrix, x.dtype), ((axis,), (1,)))
            x = jnp.moveaxis(product, -1, axis)
    return x.astype(input.dtype)


_LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4, "lanczos": 4}


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resample the spatial dimensions to ``size``, or by ``scale_factor``.

    Args:
        mode: ``"nearest"``, ``"nearest-exact"``, ``"linear"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos"``,
            ``"trilinear"`` or ``"area"``.
        align_corners: whether the centres of the corner elements, or their outer edges, stay in place.
        recompute_scale_factor: sample by the ratio of the sizes instead of ``scale_factor``.
        antialias: widen the filter when shrinking (bilinear, bicubic and lanczos, which needs it).

    Shape:
        ``(N, C, *spatial)``.

    Raises:
        ValueError, NotImplementedError: options that do not go together.
    """
    plain = mode in ("nearest", "area", "nearest-exact")
    if plain and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    shape = input._array().shape
    spatial = shape[2:]
    nd = len(spatial)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        if isinstance(size, (list, tuple)):
            if len(size) != nd:
                raise ValueError(
                    "Input and output must have the same number of spatial dimensions, but got input with spatial "
                    f"dimensions of {list(spatial)} and output size of {size}. Please provide input tensor in "
                    "(N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
                )
            outs = tuple(int(n) for n in size)
        else:
            outs = (int(size),) * nd
        factors = None
    else:
        if isinstance(scale_factor, (list, tuple)):
            if len(scale_factor) != nd:
                raise ValueError(
                    "Input and scale_factor must have the same number of spatial dimensions, but got input with "
                    f"spatial dimensions of {list(spatial)} and scale_factor of shape {scale_factor}. Please provide "
                    "input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
                )
            factors = tuple(float(f) for f in scale_factor)
        else:
            assert scale_factor is not None
            factors = (float(scale_factor),) * nd
        outs = tuple(math.floor(float(n) * f) for n, f in zip(spatial, factors))
        if recompute_scale_factor:
            factors = None
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and (mode not in ("bilinear", "bicubic", "lanczos") or nd != 2):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if any(n <= 0 for n in outs):
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (H: {spatial[0]}, W: {spatial[-1]}) "
            f"output (H: {outs[0]}, W: {outs[-1]})"
        )
    if mode == "lanczos" and nd == 2:
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
    if nd in (1, 2, 3):
        if mode == "area":
            return _adaptive_avg(input, outs, nd)
        if plain:
            return _interpolate(input, outs, factors, mode, False, False)
        if _LINEAR.get(mode) == nd + 2:
            return _interpolate(input, outs, factors, mode, bool(align_corners), bool(antialias))
        if mode in _LINEAR:
            raise NotImplementedError(f"Got {nd + 2}D input, but {mode} mode needs {_LINEAR[mode]}D input")
    raise NotImplementedError(
        "Input Error: Only 3D, 4D and 5D input Tensors supported "
        f"(got {nd + 2}D) for the modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | area | "
        f"nearest-exact (got {mode})"
    )


def _reflected(x, low, high):
    """Coordinates mirrored into ``[low, high]``."""
    span = high - low
    if span == 0:
        return jnp.zeros_like(x)
    x = jnp.abs(x - low)
    turns = lax.stop_gradient(jnp.floor(x / span))
    rest = x - turns * span
    return jnp.where(turns % 2 == 0, rest, span - rest) + low


@op(name="grid_sampler", method=False)
def _grid_sample(input: Array, grid: Array, mode, padding, align_corners):
    nd = input.ndim - 2
    spatial = input.shape[2:]

    def padded(x, n):
        if padding == "reflection":
            x = _reflected(x, *((0, n - 1) if align_corners else (-0.5, n - 0.5)))
        return x if padding == "zeros" else jnp.where(x <= 0, 0, jnp.where(x >= n - 1, n - 1, x))

    at = []
    for i, n in enumerate(spatial):
        x = grid[..., nd - 1 - i]
        x = (x + 1) / 2 * (n - 1) if align_corners else ((x + 1) * n - 1) / 2
        # A cubic's own taps may lie outside: they are padded one by one.
        at.append(x if mode == "bicubic" else padded(x, n))
    flat = input.reshape(*input.shape[:2], -1)
    points = grid.shape[1:-1]

    def values(index):
        inside = functools.reduce(jnp.logical_and, [(j >= 0) & (j < n) for j, n in zip(index, spatial)])
        position = jnp.zeros(index[0].shape, index[0].dtype)
        for j, n in zip(index, spatial):
            position = position * n + jnp.clip(j, 0, n - 1)
        position = position.reshape(input.shape[0], 1, -1)
        found = jnp.take_along_axis(flat, position, 2).reshape(*input.shape[:2], *points)
        return jnp.where(inside[:, None], found, 0)

    if mode == "nearest":
        return values([jnp.rint(x).astype(jnp.int64) for x in at])
    low = [jnp.floor(x) for x in at]
    if mode == "bilinear":
        offsets = (0, 1)
        weights = [[1 - (x - f), x - f] for x, f in zip(at, low)]
    else:
        offsets = (-1, 0, 1, 2)
        weights = [[_cubic_traced(x - f - k) for k in offsets] for x, f in zip(at, low)]
    total = 0
    for corner in itertools.product(range(len(offsets)), repeat=nd):
        index = [f + offsets[c] for f, c in zip(low, corner)]
        if mode == "bicubic":
            index = [padded(j, n) for j, n in zip(index, spatial)]
        index = [j.astype(jnp.int64) for j in index]
        share = functools.reduce(jnp.multiply, [w[c] for w, c in zip(weights, corner)])
        total = total + values(index) * share[:, None]
    return total


def _cubic_traced(distance):
    d, a = jnp.abs(distance), -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return jnp.where(d <= 1, near, far)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Sample at the points of ``grid``, whose coordinates run from -1 to 1 over the input.

    Shape:
        input ``(N, C, H, W)`` with grid ``(N, h, w, 2)``, or ``(N, C, D, H, W)`` with ``(N, d, h, w, 3)``.

    Raises:
        ValueError: an unknown mode or padding mode.
        RuntimeError: shapes that do not fit.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    shape, points = input._array().shape, grid._array().shape
    if len(shape) not in (4, 5) or len(points) != len(shape):
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes "
            f"{list(shape)} and grid with sizes {list(points)}"
        )
    if shape[0] != points[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(shape)} and grid with sizes {list(points)}"
        )
    if points[-1] != len(shape) - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {len(shape) - 2} in last dimension, but got grid with sizes "
            f"{list(points)}"
        )
    if mode == "bicubic" and len(shape) == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return _grid_sample(input, grid, mode, padding_mode, bool(align_corners))


@op(name="affine_grid_generator", method=False)
def _affine_grid(theta: Array, size, align_corners):
    axes = []
    for n in reversed(size[2:]):
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if align_corners else line * (n - 1) / n)
    mesh = np.meshgrid(*reversed(axes), indexing="ij")[::-1]
    base = jnp.asarray(np.stack([*mesh, np.ones(size[2:])], -1), theta.dtype)
    return jnp.einsum("...k,njk->n...j", base, theta)


def affine_grid(theta, size, align_corners=None):
    """Sampling points of affine maps, for ``grid_sample``.

    Shape:
        theta ``(N, 2, 3)`` with size ``(N, C, H, W)``, or ``(N, 3, 4)`` with ``(N, C, D, H, W)``.

    Raises:
        ValueError: theta does not fit the size.
    """
    size = tuple(int(n) for n in size)
    nd = len(size) - 2
    if nd not in (2, 3):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size}"
        )
    shape = theta._array().shape
    if len(shape) != 3 or shape[1:] != (nd, nd + 1):
        raise ValueError(
            f"Expected a batch of {nd}D affine matrices of shape Nx{nd}x{nd + 1} for size {size}. Got {theta.shape!r}."
        )
    return _affine_grid(theta, size, bool(align_corners))


def affine_grid_generator(theta, size, align_corners):
    """``nn.functional.affine_grid``."""
    return affine_grid(theta, size, align_corners)


__all__ = ["affine_grid_generator"]
