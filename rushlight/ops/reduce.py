"""Owns the reductions: sums, means, extremes and their positions, spread, norms' building blocks, softmax.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import builtins
import math

import jax
import jax.numpy as jnp

from .. import dtypes
from .._errors import type_name
from .._tensor.tensor import Tensor
from . import pointwise
from ._execute import scalar_name
from ._op import Array, attach, op
from ._promotion import cast
from ._results import named
from .shape import wrap_dim


def dims_of(dim, ndim: int) -> tuple:
    """Dimensions to reduce, counted from the front; None and () mean all.

    Raises:
        IndexError: there is no such dimension.
        RuntimeError: one is named twice.
    """
    if dim is None or dim == ():
        return tuple(range(ndim))
    wrapped = [wrap_dim(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    for d in wrapped:
        if wrapped.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return tuple(wrapped) if ndim else ()


def inexact(x) -> bool:
    """Whether a traced array is floating or complex."""
    return jnp.issubdtype(x.dtype, jnp.inexact)


def _summed_dtype(x, dtype):
    """The dtype of a sum or product: what was asked for, else int64 for integers and bools."""
    if dtype is not None:
        return cast(x, dtype)
    return x if inexact(x) else cast(x, dtypes.int64)


def need_floating(name, x, dtype=None) -> None:
    """Raises:
    RuntimeError: the result would not be floating or complex."""
    d = dtype or dtypes.from_numpy(x.dtype)
    if d.category < 2:
        what = "Input dtype" if dtype is None else "Optional dtype"
        raise RuntimeError(
            f"{name}(): could not infer output dtype. {what} must be either a floating point or complex dtype. "
            f"Got: {scalar_name(d)}"
        )


# -- sums and means -------------------------------------------------------------------------------------------------


@op(linear=True)
def sum(input: Array, dim=None, keepdim=False, *, dtype=None):
    """The sum over ``dim`` (default: over everything); integers add up in int64.

    Args:
        dim: an int, several, or None for all.
        keepdim: leave reduced dimensions with size 1.
        dtype: convert to this before adding.

    Example:
        >>> import rushlight as torch
        >>> torch.sum(torch.tensor([[1, 2], [3, 4]]), dim=0)
        tensor([4, 6])
    """
    return jnp.sum(_summed_dtype(input, dtype), dims_of(dim, input.ndim), keepdims=keepdim)


@op
def nansum(input: Array, dim=None, keepdim=False, *, dtype=None):
    """The sum, with nan counting as zero."""
    return jnp.nansum(_summed_dtype(input, dtype), dims_of(dim, input.ndim), keepdims=keepdim)


def _count(shape, dims) -> int:
    return math.prod(shape[d] for d in dims)


def mean_of(x, dims, keepdim):
    """The mean; low precision is added up in float32."""
    count = _count(x.shape, dims)
    wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
    total = jnp.sum(wide, dims, keepdims=keepdim)
    return (total / count if count else total * jnp.nan).astype(x.dtype)


@op(linear=True)
def mean(input: Array, dim=None, keepdim=False, *, dtype=None):
    """The mean over ``dim`` (default: over everything).

    Raises:
        RuntimeError: integers, without a floating ``dtype``.
    """
    need_floating("mean", input, dtype)
    x = input if dtype is None else cast(input, dtype)
    return mean_of(x, dims_of(dim, x.ndim), keepdim)


@op
def nanmean(input: Array, dim=None, keepdim=False, *, dtype=None):
    """The mean of what is not nan."""
    need_floating("nanmean", input, dtype)
    x = input if dtype is None else cast(input, dtype)
    dims = dims_of(dim, x.ndim)
    count = jnp.sum(~jnp.isnan(x), dims, keepdims=keepdim)
    return (jnp.nansum(x, dims, keepdims=keepdim) / count).astype(x.dtype)


@op(name="prod", method=False)
def _prod(input: Array, dims, keepdim, dtype):
    return jnp.prod(_summed_dtype(input, dtype), dims_of(dims, input.ndim), keepdims=keepdim)


def prod(input, dim=None, keepdim=False, *, dtype=None, out=None):
    """The product over ``dim`` (default: over everything); integers multiply in int64."""
    return _prod(input, dim, keepdim, dtype, out=out)


@op(differentiable=False)
def count_nonzero(input: Array, dim=None):
    """How many elements are not zero."""
    return jnp.sum(input != 0, dims_of(dim, input.ndim))


def _as_truth(x, result):
    return result.astype(jnp.uint8) if x.dtype == jnp.uint8 else result


@op(differentiable=False)
def any(input: Array, dim=None, keepdim=False):
    """Whether any element is not zero."""
    return _as_truth(input, jnp.any(input != 0, dims_of(dim, input.ndim), keepdims=keepdim))


@op(differentiable=False)
def all(input: Array, dim=None, keepdim=False):
    """Whether all elements are not zero."""
    return _as_truth(input, jnp.all(input != 0, dims_of(dim, input.ndim), keepdims=keepdim))


# -- extremes -------------------------------------------------------------------------------------------------------


def need_elements(name, shape, dims, error=IndexError) -> None:
    """Raises:
    IndexError: a reduced dimension is empty."""
    for d in dims:
        if shape and shape[d] == 0:
            raise error(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def _need_any(name, x, error: type[Exception] = RuntimeError):
    more = " Specify the reduction dim with the 'dim' argument." if error is RuntimeError else ""
    if x.size == 0:
        raise error(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.{more}")


def _need_real(name, x):
    if jnp.iscomplexobj(x):
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(dtypes.from_numpy(x.dtype))}'")


def _amax(name, f):
    def fn(input: Array, dim=(), keepdim=False):
        _need_real(name, input)
        dims = dims_of(dim, input.ndim)
        if dim == ():
            _need_any(name, input)
        need_elements(name, input.shape, dims)
        return f(input, dims, keepdims=keepdim)

    fn.__name__ = name
    fn.__doc__ = f"The {name[1:]}imum over ``dim``; equal elements share the gradient."
    return op(fn)


amax, amin = _amax("amax", jnp.max), _amax("amin", jnp.min)


def _extreme_of_all(name, f):
    def fn(input: Array):
        _need_real(name, input)
        _need_any(name, input)
        return f(input)

    return op(fn, name=name, method=False)


_max_all, _min_all = _extreme_of_all("max", jnp.max), _extreme_of_all("min", jnp.min)


def at_index(x, index, dim, keepdim):
    """The elements at one position per line of ``dim``, and those positions."""
    if not x.ndim:
        return x, jnp.zeros((), jnp.int64)
    wide = jnp.expand_dims(index, dim)
    values = jnp.take_along_axis(x, wide, dim, mode="promise_in_bounds")
    return (values, wide) if keepdim else (jnp.squeeze(values, dim), index)


def _extreme_along(name, find):
    def fn(input: Array, dim, keepdim):
        _need_real(name, input)
        d = wrap_dim(dim, input.ndim)
        need_elements(name, input.shape, (d,))
        index = find(input, d) if input.ndim else None
        return at_index(input, index, d, keepdim)

    return op(fn, name=name, method=False)


_max_dim, _min_dim = _extreme_along("max", jnp.argmax), _extreme_along("min", jnp.argmin)


def _overloaded(name, whole, along, binary):
    result = named(name, "values", "indices")

    def extreme(input, dim=None, keepdim=False, *, other=None, out=None):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type_name(input)}")
        if isinstance(dim, Tensor) or other is not None:
            return binary(input, dim if other is None else other, out=out)
        if dim is None:
            return whole(input, out=out)
        return result(along(input, dim, keepdim, out=out))

    extreme.__name__ = extreme.__qualname__ = name
    extreme.__doc__ = f"""The {name}imum of everything; of each line of ``dim``, with its position; or of two tensors.

    Args:
        dim: a dimension, or a second tensor.
        keepdim: leave the reduced dimension with size 1.

    Example:
        >>> import rushlight as torch
        >>> torch.{name}(torch.tensor([1.0, 3.0, 2.0]))
        tensor({3.0 if name == "max" else 1.0:.0f}.)
    """
    attach(name, extreme)
    return extreme


max = _overloaded("max", _max_all, _max_dim, pointwise.maximum)
min = _overloaded("min", _min_all, _min_dim, pointwise.minimum)


def _position(name, f):
    def fn(input: Array, dim=None, keepdim=False):
        _need_real(name, input)
        if input.dtype == bool:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
        if dim is None:
            _need_any(name, input, IndexError)
            out = f(input.reshape(-1), 0)
            return out.reshape((1,) * input.ndim) if keepdim else out
        d = wrap_dim(dim, input.ndim)
        need_elements(name, input.shape, (d,))
        return f(input, d, keepdims=keepdim) if input.ndim else jnp.zeros((), jnp.int64)

    fn.__name__ = name
    fn.__doc__ = f"The position of the {name[3:]}imum; the first of several."
    return op(fn, differentiable=False)


argmax, argmin = _position("argmax", jnp.argmax), _position("argmin", jnp.argmin)
_aminmax_result = named("aminmax", "min", "max")


@op(name="aminmax", method=False)
def _aminmax(input: Array, dim, keepdim):
    dims = dims_of(dim, input.ndim)
    if dim is None:
        _need_any("aminmax", input)
    need_elements("aminmax", input.shape, dims)
    return jnp.min(input, dims, keepdims=keepdim), jnp.max(input, dims, keepdims=keepdim)


def aminmax(input, *, dim=None, keepdim=False, out=None):
    """The minimum and the maximum at once."""
    return _aminmax_result(_aminmax(input, dim, keepdim, out=out))


# -- spread ---------------------------------------------------------------------------------------------------------


def _spread(x, dims, correction, keepdim, root, centre=False):
    wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
    count = _count(x.shape, dims)
    middle = jnp.sum(wide, dims, keepdims=True) / (count or jnp.nan)
    apart = jnp.abs(wide - middle) if jnp.iscomplexobj(x) else wide - middle
    total = jnp.sum(jnp.square(apart), dims, keepdims=keepdim)
    freedom = builtins.max(count - correction, 0)
    out = total / jnp.asarray(freedom, total.dtype)
    if root:
        # At zero spread the gradient is zero, not 0 * inf.
        flat = out == 0
        out = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, out)))
    out = out.astype(x.real.dtype)
    middle = (middle if keepdim else jnp.squeeze(middle, dims)).astype(x.dtype)
    return (out, middle) if centre else out


def _spread_op(name, root, centre):
    def fn(input: Array, dim, correction, keepdim):
        d = dtypes.from_numpy(input.dtype)
        if d.category < 2:
            raise RuntimeError(f"{name} only support floating point and complex dtypes")
        return _spread(input, dims_of(dim, input.ndim), correction, keepdim, root, centre)

    return op(fn, name=name, method=False)


def _spread_function(name, root, centre=False):
    operator = _spread_op(name, root, centre)

    def spread(input, dim=None, unbiased=None, keepdim=False, *, correction=None, out=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None:
            correction = int(unbiased)
        correction = 1 if correction is None else correction
        return operator(input, dim, correction, keepdim, out=out)

    what = "standard deviation" if root else "variance"
    spread.__name__ = spread.__qualname__ = name
    spread.__doc__ = f"""The {what}{" and the mean" if centre else ""} over ``dim`` (default: over everything).

    Args:
        unbiased: divide by N - 1 (default) or by N.
        correction: divide by N minus this.
    """
    if not centre:
        attach(name, spread)
    return spread


var, std = _spread_function("var", False), _spread_function("std", True)
var_mean, std_mean = _spread_function("var_mean", False, True), _spread_function("std_mean", True, True)

# -- exponentials ---------------------------------------------------------------------------------------------------


@op(name="logsumexp")
def logsumexp(input: Array, dim, keepdim=False):
    """``log(sum(exp(input)))`` over ``dim``, without overflow."""
    x = input if inexact(input) else cast(input, dtypes.default_dtype())
    wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
    dims = dims_of(dim, x.ndim)
    return jax.scipy.special.logsumexp(wide, dims, keepdims=keepdim).astype(x.dtype)


def _soft(name, f):
    def fn(input: Array, dim, dtype):
        x = input if dtype is None else cast(input, dtype)
        if not inexact(x):
            d = scalar_name(dtypes.from_numpy(x.dtype))
            last = "lastdim_" if wrap_dim(dim, x.ndim) == builtins.max(x.ndim - 1, 0) else ""
            raise NotImplementedError(f"\"{name}_{last}kernel_impl\" not implemented for '{d}'")
        d = wrap_dim(dim, x.ndim)
        wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 else x
        return (f(wide.reshape(1), 0).reshape(()) if not x.ndim else f(wide, d)).astype(x.dtype)

    operator = op(fn, name=name, method=False)

    def soft(input, dim, dtype=None, *, out=None):
        return operator(input, dim, dtype, out=out)

    soft.__name__ = soft.__qualname__ = name
    attach(name, soft)
    return soft


softmax, log_softmax = _soft("softmax", jax.nn.softmax), _soft("log_softmax", jax.nn.log_softmax)
softmax.__doc__ = """``exp(input)`` divided by its sum over ``dim``.

    Args:
        dim: the dimension along which the result sums to one.
        dtype: convert to this first.

    Example:
        >>> import rushlight as torch
        >>> torch.softmax(torch.tensor([0.0, 0.0]), dim=0)
        tensor([0.5000, 0.5000])
    """
log_softmax.__doc__ = "``log(softmax(input, dim))``, computed without overflow."

for _function in (prod, aminmax):
    attach(_function.__name__, _function)
attach("logsumexp", logsumexp)

__all__ = [
    "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero", "log_softmax", "logsumexp", "max",
    "mean", "min", "nanmean", "nansum", "prod", "softmax", "std", "std_mean", "sum", "var", "var_mean",
]  # fmt: skip
