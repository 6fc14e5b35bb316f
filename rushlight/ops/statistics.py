"""Owns covariance, finite differences over grids, histograms of several dimensions and reductions over segments.

May import the operator families, the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .. import dtypes
from .._tensor.tensor import Tensor
from ._op import Array, attach, op
from ._promotion import cast
from ._results import named
from .reduce import inexact
from .search import on_host
from .shape import wrap_dim
from .sorting import _from_host

# -- covariance -----------------------------------------------------------------------------------------------------


@op(name="cov", method=False)
def _cov(input: Array, fweights: Array | None, aweights: Array | None, correction):
    x = input if inexact(input) else cast(input, dtypes.default_dtype())
    x = x.reshape(1, -1) if x.ndim < 2 else x
    weights = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    if weights is None:
        middle = jnp.sum(x, 1, keepdims=True) / x.shape[1] if x.shape[1] else jnp.sum(x, 1, keepdims=True) * jnp.nan
        freedom = jnp.asarray(x.shape[1] - correction, x.real.dtype)
    else:
        weights = weights.astype(x.real.dtype) if not inexact(weights) else weights
        total = jnp.sum(weights)
        middle = jnp.sum(x * weights, 1, keepdims=True) / total
        if aweights is None or correction == 0:
            freedom = total - correction
        else:
            freedom = total - correction * jnp.sum(weights * aweights) / total
    apart = x - middle
    scaled = apart if weights is None else apart * weights
    return jnp.squeeze((apart @ jnp.conj(scaled).T) / jnp.maximum(freedom, 0))


def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariances of the rows, whose columns are observations.

    Args:
        correction: subtracted from the number of observations; 1 is unbiased.
        fweights: how often each observation counts, integers.
        aweights: how important each observation is.

    Raises:
        RuntimeError: more than two dimensions, or weights that do not fit.
    """
    if input.dim() > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.dim()} dimensions")  # fmt: skip
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    count = input.shape[-1] if input.dim() else 1
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        if weights.dim() > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
                               f"{weights.dim()} dimensions")  # fmt: skip
        if (weights.dtype.category == 1) != (name == "fweights"):
            kind = "integral" if name == "fweights" else "floating point"
            raise RuntimeError(f"cov(): expected {name} to have {kind} dtype but got {name} with "
                               f"{weights.dtype.name} dtype")  # fmt: skip
        if on_host(weights) and (weights._host() < 0).any():
            raise RuntimeError(f"cov(): {name} cannot be negative")
        if weights.numel() != count:
            raise RuntimeError(f"cov(): expected {name} to have the same numel as there are observations in the input "
                               f"but got {weights.numel()} != {count}")  # fmt: skip
    return _cov(input, fweights, aweights, correction)


@op(name="corrcoef", method=False)
def _corrcoef(input: Array):
    c = _cov.fn(input, None, None, 1)
    if not c.ndim:
        return c / c
    spread = jnp.sqrt(jnp.diagonal(c).real)
    return c / spread[:, None] / spread[None, :]


def corrcoef(input):
    """The correlations of the rows, whose columns are observations."""
    if input.dim() > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.dim()} dimensions")  # fmt: skip
    return _corrcoef(input)


# -- finite differences ---------------------------------------------------------------------------------------------


def _along(x, dim, start, stop):
    return x[(slice(None),) * dim + (slice(start, stop),)]


def _evenly(x, dim, h, order):
    """Central differences, and one-sided ones of the given order at both ends."""
    n = x.shape[dim]

    def at(i):
        return _along(x, dim, i % n, i % n + 1)

    middle = (_along(x, dim, 2, None) - _along(x, dim, None, -2)) / (2 * h)
    if order == 1:
        first, last = (at(1) - at(0)) / h, (at(-1) - at(-2)) / h
    else:
        first = (-1.5 * at(0) + 2 * at(1) - 0.5 * at(2)) / h
        last = (0.5 * at(-3) - 2 * at(-2) + 1.5 * at(-1)) / h
    return jnp.concatenate([first, middle, last], dim)


def _unevenly(x, dim, where, order):
    """Quadratic interpolation through three neighbours, and one-sided differences at both ends."""
    n = x.shape[dim]
    shape = [1] * x.ndim
    shape[dim] = -1
    step = jnp.diff(where).astype(x.dtype if inexact(x) else where.dtype)

    def at(i):
        return _along(x, dim, i % n, i % n + 1)

    a, b = step[:-1].reshape(shape), step[1:].reshape(shape)
    before, here, after = _along(x, dim, None, -2), _along(x, dim, 1, -1), _along(x, dim, 2, None)
    middle = (after * a**2 + (b**2 - a**2) * here - before * b**2) / (a * b * (a + b))
    if order == 1:
        first, last = (at(1) - at(0)) / step[0], (at(-1) - at(-2)) / step[-1]
    else:
        a, b = step[0], step[1]
        first = -(2 * a + b) / (a * (a + b)) * at(0) + (a + b) / (a * b) * at(1) - a / (b * (a + b)) * at(2)
        a, b = step[-2], step[-1]
        last = b / (a * (a + b)) * at(-3) - (a + b) / (a * b) * at(-2) + (2 * b + a) / (b * (a + b)) * at(-1)
    return jnp.concatenate([first, middle, last], dim)


@op(name="gradient", method=False)
def _gradient(input: Array, places: list[Array], dims, spacing, order):
    x = input if inexact(input) else cast(input, dtypes.default_dtype())
    if places:
        return tuple(_unevenly(x, d, where, order) for d, where in zip(dims, places))
    return tuple(_evenly(x, d, h, order) for d, h in zip(dims, spacing))


def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """Estimates of the partial derivatives of a function sampled on a grid.

    Args:
        spacing: the distance of neighbours, one for each dimension, or a tensor of coordinates for each.
        dim: which dimensions; default: all.
        edge_order: 1 or 2, the accuracy at both ends.

    Returns:
        a list of tensors, one for each dimension.
    """
    ndim = input.dim()
    dims = tuple(range(ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    places = []
    spacing = 1 if spacing is None else spacing
    if isinstance(spacing, (list, tuple)):
        if len(spacing) != len(dims):
            raise RuntimeError(
                f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
                f"{len(dims)}, but got a list of length {len(spacing)}"
            )
        if any(isinstance(s, Tensor) for s in spacing):
            places, spacing = list(spacing), ()
    else:
        spacing = (spacing,) * len(dims)
    dims = tuple(wrap_dim(d, ndim) for d in dims)
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dims[0]} appears multiple times in the list of dims")
    for i, d in enumerate(dims):
        if input.shape[d] < edge_order + 1:
            raise RuntimeError("torch.gradient expected each dimension size to be at least edge_order+1")
        if places and places[i].numel() != input.shape[d]:
            raise RuntimeError(
                f"torch.gradient expected each element to have same number of elements as spacing, received "
                f"{places[i].numel()} coordinates for dimension {d} of size {input.shape[d]}"
            )
    return list(_gradient(input, places, dims, tuple(spacing), edge_order))


# -- histograms -----------------------------------------------------------------------------------------------------

_histogramdd_result = named("histogramdd", "hist", "bin_edges")


def _edges(values, count, bounds):
    """The edges of ``count`` equal intervals of ``bounds``, or of what the values span."""
    low, high = bounds if bounds else (values.min(), values.max()) if values.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, count + 1, dtype=values.dtype)


def histogramdd(input, bins, *, range=None, weight=None, density=False, out=None):
    """How many rows (or what weight) lie in each cell of a grid, and the edges of the cells."""
    host = input._host()
    columns = host.shape[-1]
    if isinstance(bins, (list, tuple)) and len(bins) and isinstance(bins[0], Tensor):
        bins = [b._host() for b in bins]
    elif isinstance(bins, int):
        bins = [bins] * columns
    if len(bins) != columns:
        raise RuntimeError(
            f"histogramdd: the size of input's innermost dimension must be equal to the length of bins, received "
            f"{columns} and {len(bins)}"
        )
    rows = host.reshape(-1, columns)
    weights = np.ones(len(rows), host.dtype) if weight is None else weight._host().reshape(-1)
    edges = [b if isinstance(b, np.ndarray) else _edges(rows[:, i], b, range and range[2 * i : 2 * i + 2])
             for i, b in enumerate(bins)]  # fmt: skip
    counts = np.zeros([len(e) - 1 for e in edges], host.dtype)
    places = [np.where(x == e[-1], len(e) - 2, np.searchsorted(e, x, "right") - 1) for x, e in zip(rows.T, edges)]
    inside = np.all([(x >= e[0]) & (x <= e[-1]) for x, e in zip(rows.T, edges)], axis=0)
    np.add.at(counts, tuple(p[inside] for p in places), weights[inside])
    if density:
        for axis, e in enumerate(edges):
            counts /= np.diff(e).reshape([-1 if i == axis else 1 for i, _ in enumerate(edges)])
        counts /= weights[inside].sum()
    return _histogramdd_result(
        (_from_host(counts.astype(host.dtype), input), tuple(_from_host(e.astype(host.dtype), input) for e in edges))
    )


# -- segments -------------------------------------------------------------------------------------------------------


@op(name="segment_reduce", method=False)
def _reduce_segments(data: Array, lengths: Array | None, offsets: Array | None, reduce, axis, initial):
    if offsets is None:
        assert lengths is not None
        ends = jnp.cumsum(lengths, -1)
        starts = ends - lengths
    else:
        starts, ends = offsets[..., :-1], offsets[..., 1:]
    places = jnp.arange(data.shape[axis])
    inside = (places >= starts[..., None]) & (places < ends[..., None])
    more = (1,) * (data.ndim - axis - 1)
    mask = inside.reshape(*inside.shape, *more)
    lines = jnp.expand_dims(data, axis)
    count = jnp.sum(mask, axis + 1)
    neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -jnp.inf, "min": jnp.inf}[reduce]
    start = neutral if initial is None else initial
    kept = jnp.where(mask, lines, jnp.asarray(neutral, data.dtype))
    if reduce in ("sum", "mean"):
        out = jnp.sum(kept, axis + 1) + start
        empty = jnp.nan if initial is None else initial
        return out if reduce == "sum" else jnp.where(count > 0, out / jnp.maximum(count, 1), empty)
    if reduce == "prod":
        return jnp.prod(kept, axis + 1) * start
    return (jnp.max if reduce == "max" else jnp.min)(kept, axis + 1, initial=start)


def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """The sum, mean, product, maximum or minimum of consecutive segments along a dimension.

    Args:
        lengths: how many elements each segment has; or
        offsets: where each segment begins, and the end of the last.
        initial: what an empty segment gives, and every other one starts from.
    """
    if reduce not in ("sum", "mean", "prod", "max", "min"):
        raise RuntimeError(f"Expected 'reduce' to be one of sum, mean, prod, max, min, received {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    return _reduce_segments(data, lengths, offsets if lengths is None else None, reduce, wrap_dim(axis, data.dim()),
                            None if initial is None else float(initial))  # fmt: skip


_segment_reduce = segment_reduce  # the name that torch itself gives it besides

for _function in (cov, corrcoef):
    attach(_function.__name__, _function)

__all__ = ["_segment_reduce", "corrcoef", "cov", "gradient", "histogramdd", "segment_reduce"]
