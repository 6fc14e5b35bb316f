"""Owns running results along a dimension: cumulative sums, products and extremes, differences, integrals.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .. import dtypes
from ._op import Array, attach, op
from ._promotion import cast, common
from ._results import named
from .join import cat
from .pointwise import _log_sum
from .reduce import inexact
from .shape import wrap_dim


def _running(name, f, doc):
    def fn(input: Array, dim, *, dtype=None):
        d = wrap_dim(dim, input.ndim)
        x = cast(input, dtype) if dtype is not None else input if inexact(input) else cast(input, dtypes.int64)
        if not x.ndim:
            return x
        wide = x.astype(jnp.float32) if x.dtype.itemsize == 2 and inexact(x) else x
        return f(wide, d).astype(x.dtype)

    fn.__name__, fn.__doc__ = name, doc
    return op(fn, inplace=True, linear=name == "cumsum")


cumsum = _running("cumsum", jnp.cumsum, "The running sum along a dimension; integers add up in int64.")
cumprod = _running("cumprod", jnp.cumprod, "The running product along a dimension.")


@op(name="logcumsumexp")
def logcumsumexp(input: Array, dim):
    """The running ``logsumexp`` along a dimension."""
    d = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return input
    if jnp.iscomplexobj(input):
        return jax.lax.associative_scan(_log_sum, input, axis=d)
    return jax.lax.cumlogsumexp(input, d)


def _running_extreme(name, wins):
    def fn(input: Array, dim):
        d = wrap_dim(dim, input.ndim)
        if not input.ndim:
            return input, jnp.zeros((), jnp.int64)
        fixed = jax.lax.stop_gradient(input)
        places = jax.lax.broadcasted_iota(jnp.int64, input.shape, d)

        def later(first, second):
            (a, i), (b, j) = first, second
            take = wins(b, a) | (b != b)
            return jnp.where(take, b, a), jnp.where(take, j, i)

        index = jax.lax.associative_scan(later, (fixed, places), axis=d)[1]
        return jnp.take_along_axis(input, index, d, mode="promise_in_bounds"), index

    operator = op(fn, name=name, method=False)
    result = named(name, "values", "indices")

    def running(input, dim, *, out=None):
        return result(operator(input, dim, out=out))

    running.__name__ = running.__qualname__ = name
    running.__doc__ = f"The running {name[3:]}imum along a dimension, and where it was last seen."
    attach(name, running)
    return running


cummax = _running_extreme("cummax", lambda b, a: (b >= a) & ~(a != a))
cummin = _running_extreme("cummin", lambda b, a: (b <= a) & ~(a != a))


@op(name="diff", method=False)
def _diff(input: Array, n, dim):
    return jnp.diff(input, n, dim)


def diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    """The differences of neighbours along a dimension, ``n`` times over."""
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    dim = wrap_dim(dim, input.dim())
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [x for x in (prepend, input, append) if x is not None]
    whole = cat(parts, dim) if len(parts) > 1 else input
    # No differences: what would be put before and after is looked at, and left away.
    whole = whole if n else input
    return _diff(whole, min(n, whole.shape[dim]), dim, out=out)


def _strips(y, x, dx, dim):
    """The areas between neighbours, along the last dimension."""
    y = jnp.moveaxis(y, dim, -1)
    if x is not None:
        (x, y), _ = common([x if x.ndim == 1 else jnp.moveaxis(x, dim, -1), y])
    both = y[..., 1:] + y[..., :-1]
    area = both * (1 if x is None else jnp.diff(x))
    area = area if inexact(area) else cast(area, dtypes.default_dtype())
    return area * ((dx if x is None else 1) / 2)


@op(name="trapezoid", method=False)
def _trapezoid(y: Array, x: Array | None, dx, dim):
    return jnp.sum(_strips(y, x, dx, dim), -1)


def trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """The integral by the trapezoidal rule."""
    return _trapezoid(y, x, dx, wrap_dim(dim, y.dim()))


trapz = trapezoid


@op(name="cumulative_trapezoid", method=False)
def _cumulative_trapezoid(y: Array, x: Array | None, dx, dim):
    return jnp.moveaxis(jnp.cumsum(_strips(y, x, dx, dim), -1), -1, dim)


def cumulative_trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """The running integral by the trapezoidal rule."""
    return _cumulative_trapezoid(y, x, dx, wrap_dim(dim, y.dim()))


attach("diff", diff)

__all__ = [
    "cummax", "cummin", "cumprod", "cumsum", "cumulative_trapezoid", "diff", "logcumsumexp", "trapezoid", "trapz",
]  # fmt: skip
