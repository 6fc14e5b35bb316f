"""Owns order and counting: sort, topk, unique, nonzero, searchsorted, histograms.

May import the door, the promotion rules and jax; results whose shape depends on the values are found on the host.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .. import dtypes
from .._errors import type_name
from .._tensor.tensor import Tensor
from ._execute import write_out
from ._op import Array, attach, op
from ._results import named
from .reduce import at_index, need_elements
from .shape import wrap_dim

# -- sorting --------------------------------------------------------------------------------------------------------

_sort_result = named("sort", "values", "indices")
_topk_result = named("topk", "values", "indices")
_kth_result = named("kthvalue", "values", "indices")
_mode_result = named("mode", "values", "indices")


def _order(x, dim, descending):
    """The positions that sort a traced array; equal elements keep their order, nan counts as largest."""
    return jnp.argsort(x, dim, stable=True, descending=descending)


@op(name="sort", method=False)
def _sort(input: Array, dim, descending):
    if not input.ndim:
        return input, jnp.zeros((), jnp.int64)
    dim = wrap_dim(dim, input.ndim)
    index = _order(jax.lax.stop_gradient(input), dim, descending)
    return jnp.take_along_axis(input, index, dim, mode="promise_in_bounds"), index


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """The elements of each line of a dimension in order, and where they were.

    Example:
        >>> import rushlight as torch
        >>> torch.sort(torch.tensor([3, 1, 2])).indices
        tensor([1, 2, 0])
    """
    return _sort_result(_sort(input, dim, bool(descending), out=out))


@op(name="argsort", method=False, differentiable=False)
def _argsort(input: Array, dim, descending):
    return _order(input, wrap_dim(dim, input.ndim), descending) if input.ndim else jnp.zeros((), jnp.int64)


def argsort(input, dim=-1, descending=False, stable=False):
    """The positions that sort each line of a dimension."""
    return _argsort(input, dim, bool(descending))


def msort(input, *, out=None):
    """The tensor sorted along its first dimension."""
    values = sort(input, 0).values
    return values if out is None else write_out("msort", values, out)


@op(name="topk", method=False)
def _topk(input: Array, k, dim, largest):
    if not input.ndim:
        return input, jnp.zeros((), jnp.int64)
    lines = jnp.moveaxis(input, dim, -1)
    fixed = jax.lax.stop_gradient(lines)
    if largest and not jnp.issubdtype(input.dtype, jnp.bool_):
        index = jax.lax.top_k(fixed, k)[1].astype(jnp.int64)
    else:
        index = _order(fixed, -1, largest)[..., :k]
    values = jnp.take_along_axis(lines, index, -1, mode="promise_in_bounds")
    return jnp.moveaxis(values, -1, dim), jnp.moveaxis(index, -1, dim)


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """The ``k`` largest (smallest) elements of each line of a dimension, in order, and where they are.

    Raises:
        RuntimeError: a line is shorter than ``k``.
    """
    dim = wrap_dim(dim, input.dim())
    k = k.item() if isinstance(k, Tensor) else k
    if not 0 <= k <= (input.shape[dim] if input.dim() else 1):
        raise RuntimeError("selected index k out of range")
    return _topk_result(_topk(input, k, dim, largest, out=out))


def _ranked(x, rank, dim, keepdim, nan=False):
    """The element of a given rank in each line, and where it is; with ``nan``, a nan wins."""
    if not x.ndim:
        return x, jnp.zeros((), jnp.int64)
    fixed = jax.lax.stop_gradient(x)
    order = _order(fixed, dim, False)
    index = (
        jnp.take(order, rank, dim)
        if isinstance(rank, int)
        else jnp.squeeze(jnp.take_along_axis(order, jnp.expand_dims(rank, dim), dim), dim)
    )
    if nan and jnp.issubdtype(x.dtype, jnp.floating):
        bad = jnp.isnan(fixed)
        index = jnp.where(bad.any(dim), jnp.argmax(bad, dim), index)
    return at_index(x, index, dim, keepdim)


@op(name="kthvalue", method=False)
def _kthvalue(input: Array, k, dim, keepdim):
    return _ranked(input, k - 1, dim, keepdim)


def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """The ``k``-th smallest element of each line of a dimension (from 1), and where it is."""
    dim = wrap_dim(dim, input.dim())
    need_elements("kthvalue", input.shape, (dim,))
    if not 1 <= k <= (input.shape[dim] if input.dim() else 1):
        raise RuntimeError("kthvalue(): selected number k out of range for dimension " + str(dim))
    return _kth_result(_kthvalue(input, k, dim, keepdim, out=out))


@op(name="median", method=False)
def _median(input: Array, dim, keepdim, skip):
    if not input.size and dim is None:
        return jnp.full((), jnp.nan, input.dtype)
    x = input.reshape(-1) if dim is None else input
    d = 0 if dim is None else dim
    rank = (x.shape[d] - 1) // 2 if x.ndim else 0
    if skip and jnp.issubdtype(x.dtype, jnp.floating) and x.ndim:
        rank = jnp.maximum(jnp.sum(~jnp.isnan(x), d) - 1, 0) // 2
    found = _ranked(x, rank, d, keepdim and dim is not None, not skip)
    return found[0] if dim is None else found


def _median_function(name, skip):
    result = named(name, "values", "indices")

    def function(input, dim=None, keepdim=False, *, out=None):
        if dim is None:
            return _median(input, None, False, skip, out=out)
        dim = wrap_dim(dim, input.dim())
        need_elements(name, input.shape, (dim,))
        return result(_median(input, dim, keepdim, skip, out=out))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "The lower middle element of everything, or of each line of a dimension with where it is."
    attach(name, function)
    return function


median, nanmedian = _median_function("median", False), _median_function("nanmedian", True)


@op(name="mode", method=False)
def _mode(input: Array, dim, keepdim):
    if not input.ndim:
        return input, jnp.zeros((), jnp.int64)
    lines = jax.lax.stop_gradient(jnp.moveaxis(input, dim, -1))
    order = _order(lines, -1, False)
    ranked = jnp.take_along_axis(lines, order, -1)
    places = jnp.arange(ranked.shape[-1])
    fresh = jnp.concatenate([jnp.ones_like(ranked[..., :1], bool), ranked[..., 1:] != ranked[..., :-1]], -1)
    starts = jax.lax.cummax(jnp.where(fresh, places, 0), axis=ranked.ndim - 1)
    # The first longest run ends where the length of the run so far is largest.
    index = jnp.take_along_axis(order, jnp.argmax(places - starts, -1)[..., None], -1)[..., 0]
    return at_index(input, index, dim, keepdim)


def mode(input, dim=-1, keepdim=False, *, out=None):
    """The most frequent element of each line of a dimension (the smallest of several), and where it is last."""
    dim = wrap_dim(dim, input.dim())
    need_elements("mode", input.shape, (dim,))
    return _mode_result(_mode(input, dim, keepdim, out=out))


# -- quantiles ------------------------------------------------------------------------------------------------------


def _quantile_op(name, f):
    def fn(input: Array, q: Array, dim, keepdim, interpolation):
        if input.dtype not in (jnp.float32, jnp.float64):
            raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
        axis = None if dim is None else wrap_dim(dim, input.ndim) if input.ndim else None
        return f(input, q.astype(input.dtype), axis, method=interpolation, keepdims=keepdim).astype(input.dtype)

    operator = op(fn, name=name, method=False)

    def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
        if isinstance(q, (int, float)) and not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
            raise RuntimeError(
                f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                f"{interpolation}"
            )
        return operator(input, q, dim, keepdim, interpolation, out=out)

    quantile.__name__ = quantile.__qualname__ = name
    quantile.__doc__ = "The value below which a fraction ``q`` of the elements lies; several ``q`` lead the shape."
    attach(name, quantile)
    return quantile


quantile, nanquantile = _quantile_op("quantile", jnp.quantile), _quantile_op("nanquantile", jnp.nanquantile)

# -- what depends on the values -------------------------------------------------------------------------------------


def _from_host(host, like):
    return Tensor._of(jax.device_put(np.ascontiguousarray(host), like._array().sharding), like.device)


def nonzero(input, *, out=None, as_tuple=False):
    """The positions of what is not zero: a row for each, or with ``as_tuple`` a vector for each dimension."""
    host = input._host()
    if as_tuple:
        found = np.nonzero(host.reshape(1) if not host.ndim else host)
        return tuple(_from_host(i, input) for i in found)
    rows = np.argwhere(host).astype(np.int64)
    result = _from_host(rows, input)
    return result if out is None else write_out("nonzero", result, out)


argwhere = nonzero


def _sortable(host):
    return host.astype(np.float32) if host.dtype.kind == "V" else host


def _unique_host(host, dim, inverse, counts):
    wide = _sortable(host)
    values, where, count = np.unique(wide, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return values.astype(host.dtype), where.reshape(host.shape if dim is None else -1), count


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The different elements (slices of ``dim``) in order.

    Args:
        return_inverse: also where each element is among them.
        return_counts: also how often each occurs.

    Example:
        >>> import rushlight as torch
        >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
        (tensor([1, 3]), tensor([1, 2]))
    """
    dim = None if dim is None else wrap_dim(dim, input.dim())
    values, inverse, counts = _unique_host(input._host(), dim, return_inverse, return_counts)
    return _unique_results(input, values, inverse, counts, return_inverse, return_counts)


def _unique_results(input, values, inverse, counts, return_inverse, return_counts):
    results = [_from_host(values, input)]
    if return_inverse:
        results.append(_from_host(inverse.astype(np.int64), input))
    if return_counts:
        results.append(_from_host(counts.astype(np.int64), input))
    return results[0] if len(results) == 1 else tuple(results)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (slices of ``dim``) with neighbouring repetitions dropped."""
    host = input._host()
    line = host.reshape(-1) if dim is None or not host.ndim else np.moveaxis(host, dim, 0)
    if len(line) == 0:
        fresh = np.zeros(0, bool)
    else:
        changed = (line[1:] != line[:-1]).any(tuple(range(1, line.ndim)))
        fresh = np.concatenate([[True], changed])
    places = np.flatnonzero(fresh)
    values = line[places]
    inverse = np.cumsum(fresh) - 1
    counts = np.diff(np.append(places, len(line)))
    if dim is None:
        inverse = inverse.reshape(host.shape)
    else:
        values = np.moveaxis(values, 0, dim)
    return _unique_results(input, values, inverse, counts, return_inverse, return_counts)


# -- places in sorted sequences -------------------------------------------------------------------------------------


@op(name="searchsorted", method=False, differentiable=False)
def _searchsorted(sequence: Array, values: Array, sorter: Array | None, right, narrow):
    if sorter is not None:
        sequence = jnp.take_along_axis(sequence, sorter, -1)
    common = jnp.promote_types(sequence.dtype, values.dtype)
    sequence, values = sequence.astype(common), values.astype(common)
    side = "right" if right else "left"
    if sequence.ndim == 1:
        out = jnp.searchsorted(sequence, values, side=side)
    else:
        if sequence.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                f"boundaries tensor and input value tensor must match, but we got boundaries tensor "
                f"{list(sequence.shape)} and input value tensor {list(values.shape)}"
            )
        if not sequence.size or not values.size:
            return jnp.zeros(values.shape, jnp.int32 if narrow else jnp.int64)
        flat = sequence.reshape(-1, sequence.shape[-1]), values.reshape(-1, values.shape[-1])
        out = jax.vmap(lambda s, v: jnp.searchsorted(s, v, side=side))(*flat).reshape(values.shape)
    return out.astype(jnp.int32 if narrow else jnp.int64)


def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None, out=None):
    """Where values would go into sorted sequences, before (after, with ``right``) equal elements."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        )
    return _searchsorted(sorted_sequence, input, sorter, right or side == "right", out_int32, out=out)


def bucketize(input, boundaries, *, out_int32=False, right=False, out=None):
    """The number of the interval between ``boundaries`` that each element lies in."""
    if boundaries.dim() != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


@op(name="isin", method=False, differentiable=False)
def _isin(elements: Array, test_elements: Array, assume_unique, invert):
    return jnp.isin(elements, test_elements, invert=invert)


def isin(
    elements=None, test_elements=None, *, element=None, test_element=None, assume_unique=False, invert=False, out=None
):  # fmt: skip
    """Whether each element is among the others.

    Args:
        elements, test_elements: tensors; one of the two may be a number, which also goes by ``element`` or
            ``test_element``.
        assume_unique: accepted: the answer is the same.
        invert: whether it is not.
        out: where to.

    Raises:
        TypeError: two numbers, or an argument twice.

    Example:
        >>> import rushlight as torch
        >>> torch.isin(element=2, test_elements=torch.tensor([1, 2]))
        tensor(True)
    """
    given = (
        [one for one in (elements, element) if one is not None],
        [one for one in (test_elements, test_element) if one is not None],
    )
    numbers = [one for one in (element, test_element) if one is not None]
    pairs = (*given[0], *given[1])
    fits = len(given[0]) == len(given[1]) == 1 and any(isinstance(one, Tensor) for one in pairs)
    if not fits or any(isinstance(one, Tensor) for one in numbers):
        shown = ", ".join(type_name(one) for one in pairs)
        raise TypeError(
            f"isin() received an invalid combination of arguments - got ({shown}), but expected one of: (Tensor "
            "elements, Tensor test_elements), (Number element, Tensor test_elements), (Tensor elements, Number "
            "test_element)"
        )
    return _isin(*pairs, assume_unique, invert, out=out)


# -- counting -------------------------------------------------------------------------------------------------------


@op(name="bincount", method=False, differentiable=False)
def _bincount(input: Array, weights: Array | None, length):
    if weights is None:
        return jnp.zeros(length, jnp.int64).at[input].add(1)
    weights = weights if jnp.issubdtype(weights.dtype, jnp.floating) else weights.astype(jnp.float64)
    return jnp.zeros(length, weights.dtype).at[input].add(weights)


def bincount(input, weights=None, minlength=0):
    """How often each number from 0 on occurs, or the sum of its weights."""
    if input.dim() != 1 or input.dtype.category != 1:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    host = input._host()
    if host.size and host.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    return _bincount(input, weights, max(minlength, int(host.max()) + 1 if host.size else 0))


@op(name="histc", method=False, differentiable=False)
def _histc(input: Array, low: Array, high: Array, bins):
    x = input.reshape(-1)
    low, high = low.astype(x.dtype), high.astype(x.dtype)
    inside = (x >= low) & (x <= high)
    # Both ends belong to bins; the last one would fall just outside.
    place = jnp.clip(((x - low) / (high - low) * bins).astype(jnp.int64), 0, bins - 1)
    return jnp.zeros(bins, x.dtype).at[jnp.where(inside, place, bins)].add(1, mode="drop")


def histc(input, bins=100, min=0, max=0, *, out=None):
    """How many elements lie in each of ``bins`` equal intervals of ``[min, max]`` (default: of the data)."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    if min == max:
        min, max = (float(input.min().item()), float(input.max().item())) if input.numel() else (0.0, 1.0)
        if min == max:
            min, max = min - 1, max + 1
    if min > max:
        raise RuntimeError("max must be larger than min")
    return _histc(input, float(min), float(max), bins, out=out)


_histogram_result = named("histogram", "hist", "bin_edges")


def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """How many elements (or what weight) lie in each interval, and the edges of the intervals."""
    host = input._host()
    edges = bins._host() if isinstance(bins, Tensor) else bins
    counts, edges = np.histogram(host, edges, range, density, None if weight is None else weight._host())
    made = tuple(_from_host(x.astype(host.dtype), input) for x in (counts, edges))
    return _histogram_result(made if out is None else write_out("histogram", made, out))


@op(name="one_hot", method=False, differentiable=False)
def _one_hot(input: Array, count):
    return (input[..., None] == jnp.arange(count)).astype(jnp.int64)


def one_hot(tensor, num_classes=-1):
    """Zeros with a one at the place that each class number names, in a new last dimension.

    Raises:
        RuntimeError: not int64, or a class number outside ``[0, num_classes)``.
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == 0 or num_classes < -1:
        raise RuntimeError(
            "Class values must be smaller than num_classes." if num_classes == 0 else "num_classes should be positive"
        )
    array = tensor._array()
    if num_classes == -1 or not isinstance(array, (Tracer, jax.ShapeDtypeStruct)):
        host = tensor._host()
        if not host.size:
            if num_classes <= 0:
                raise RuntimeError("Can not infer total number of classes from empty tensor.")
            return _one_hot(tensor, num_classes)
        if host.min() < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = int(host.max()) + 1
        elif host.max() >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    return _one_hot(tensor, num_classes)


for _function in (
    sort, argsort, msort, topk, kthvalue, mode, nonzero, argwhere, unique, unique_consecutive, bincount, histc,
    histogram,
):  # fmt: skip
    attach(_function.__name__, _function)
attach("argwhere", nonzero)

__all__ = [
    "argsort", "argwhere", "bincount", "bucketize", "histc", "histogram", "isin", "kthvalue", "median", "mode", "msort",
    "nanmedian", "nanquantile", "nonzero", "quantile", "searchsorted", "sort", "topk", "unique", "unique_consecutive",
]  # fmt: skip
