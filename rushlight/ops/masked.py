"""Owns ``torch.masked``: reductions and normalizations that leave elements out by a mask.

May import the operator families; what is masked out is replaced by what changes nothing, then the operator runs.
"""

from __future__ import annotations

import functools
import math

from .. import dtypes
from .._errors import not_supported
from . import norms, pointwise, reduce, scan, search, sorting, unary
from .creation import full, zeros
from .reduce import dims_of


def mask_for(input, mask):
    """A mask as bool in the shape of ``input``; None where nothing is masked."""
    if mask is None:
        return None
    if mask.dim() > input.dim():
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    return mask.expand(input.shape).bool()


def _lowest(d):
    """The number that loses against all others."""
    if d.category >= 2:
        return -math.inf
    return False if d.category == 0 else dtypes.iinfo(d).min


def _highest(d):
    if d.category >= 2:
        return math.inf
    return True if d.category == 0 else dtypes.iinfo(d).max


def _kept(input, mask, neutral):
    """``input`` with ``neutral`` where the mask does not hold."""
    inside = mask_for(input, mask)
    if inside is None:
        return input
    value = neutral(input.dtype) if callable(neutral) else neutral
    return search.where(inside, input, full((), value, dtype=input.dtype, device=input.device))


def _wide(input, dtype):
    """The dtype of a sum: small integers add up in int64."""
    return dtype or (dtypes.int64 if input.dtype.category < 2 else input.dtype)


def _all_dims(dim, ndim):
    return tuple(sorted(dims_of(dim, ndim)))


def sum(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The sum of the elements where the mask holds; 0 where it holds nowhere."""
    kept = _kept(input, mask, 0)
    return reduce.sum(kept, _all_dims(dim, input.dim()), bool(keepdim), dtype=_wide(input, dtype))


def prod(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The product of the elements where the mask holds; 1 where it holds nowhere."""
    kept = _kept(input, mask, 1)
    return reduce.prod(kept, _all_dims(dim, input.dim()), bool(keepdim), dtype=_wide(input, dtype))


def _running(operator, neutral):
    def running(input, dim, *, dtype=None, mask=None):
        d = dtype or input.dtype
        return operator(_kept(input, mask, neutral), dim, dtype=d).to(d)

    running.__name__ = running.__qualname__ = operator.name
    running.__doc__ = f"``{operator.name}`` in which what is masked out counts as {neutral}."
    return running


cumsum, cumprod = _running(scan.cumsum, 0), _running(scan.cumprod, 1)


def _extreme(operator, neutral):
    def extreme(input, dim=None, *, keepdim=False, dtype=None, mask=None):
        kept = _kept(input, mask, neutral)
        return operator(kept, _all_dims(dim, input.dim()), bool(keepdim)).to(dtype or input.dtype)

    extreme.__name__ = extreme.__qualname__ = operator.name
    extreme.__doc__ = f"``{operator.name}`` of the elements where the mask holds."
    return extreme


amax, amin = _extreme(reduce.amax, _lowest), _extreme(reduce.amin, _highest)


def _position(operator, neutral):
    def position(input, dim=None, *, keepdim=False, dtype=None, mask=None):
        return operator(_kept(input, mask, neutral), dim, bool(keepdim)).to(dtype or input.dtype)

    position.__name__ = position.__qualname__ = operator.name
    position.__doc__ = f"``{operator.name}`` of the elements where the mask holds, in the dtype of ``input``, as torch."
    return position


argmax, argmin = _position(reduce.argmax, _lowest), _position(reduce.argmin, _highest)


def _count(input, mask, dim, keepdim):
    inside = mask_for(input, mask)
    ones = zeros(input.shape, dtype=dtypes.bool_, device=input.device).logical_not() if inside is None else inside
    return reduce.sum(ones, _all_dims(dim, input.dim()), keepdim)


def mean(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The mean of the elements where the mask holds; nan where it holds nowhere.

    Raises:
        ValueError: the result would not be floating or complex.
    """
    d = dtype or input.dtype
    if d.category < 2:
        source = "Input" if dtype is None else "Optional"
        raise ValueError(
            f"mean(): Could not infer output dtype. {source} dtype must be either a floating point or complex dtype. "
            f"Got: {d!r}"
        )
    total = sum(input, dim, keepdim=keepdim, dtype=d, mask=mask)
    return total / _count(input, mask, dim, bool(keepdim))


def _spread(input, dim, unbiased, correction, keepdim, dtype, mask, root):
    if unbiased is not None:
        if correction is not None:
            raise AssertionError("Only one of unbiased and correction may be given")
        correction = int(unbiased)
    freedom = 1 if correction is None else correction
    d = dtype or (input.dtype if input.dtype.category > 1 else dtypes.float32)
    inner = d if d.category > 1 else dtypes.float32
    count = _count(input, mask, dim, True)
    apart = input - sum(input, dim, keepdim=True, dtype=d, mask=mask) / count
    total = sum(apart * apart.conj(), dim, keepdim=keepdim, dtype=inner, mask=mask)
    count = count if keepdim else count.reshape(total.shape)
    if freedom:
        count = pointwise.clamp((count - freedom).to(inner.to_real()), min=0)
    out = (total / count).to(d)
    return unary.sqrt(out) if root else out


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The variance of the elements where the mask holds."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, False)


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask=None):
    """The standard deviation of the elements where the mask holds."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask, True)


def median(input, dim=-1, *, keepdim=False, dtype=None, mask=None):
    """The lower middle of the elements where the mask holds; nan where it holds nowhere.

    Raises:
        ValueError: integers, and a line without any element.
    """
    floating = input.is_floating_point()
    x = input if floating else input.float()
    found = sorting.nanmedian(_kept(x, mask, math.nan), dim, keepdim).values
    if floating:
        return found
    if bool(found.isnan().any()):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return found.to(dtype or input.dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask=None):
    """The ``ord``-norm of the elements where the mask holds."""
    kept = _kept(input, mask, math.inf if ord == -math.inf else 0)
    return norms.vector_norm(kept, ord, _all_dims(dim, input.dim()), bool(keepdim), dtype=dtype or input.dtype)


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask=None):
    """The elements divided by the norm of those where the mask holds."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _kept(input, mask, 0) / pointwise.maximum(size, size.new_full((), eps))


def _soft(name, operator, neutral):
    def soft(input, dim, *, dtype=None, mask=None):
        return operator(_kept(input, mask, neutral), dim, dtype or input.dtype)

    soft.__name__ = soft.__qualname__ = name
    soft.__doc__ = f"``{name}`` of the elements where the mask holds."
    return soft


softmax = _soft("softmax", reduce.softmax, _lowest)
log_softmax = _soft("log_softmax", reduce.log_softmax, _lowest)
softmin = _soft("softmin", lambda x, dim, dtype: reduce.softmax(-x, dim, dtype), _highest)


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask=None):
    """``logsumexp`` of the elements where the mask holds."""
    kept = _kept(input, mask, _lowest)
    return reduce.logsumexp(kept, _all_dims(dim, input.dim()), keepdim).to(dtype or input.dtype)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """``log(exp(input) + exp(other))``, each operand counting only where its mask holds."""
    kept = functools.partial(_kept, neutral=_lowest)
    return pointwise.logaddexp(kept(input, input_mask), kept(other, other_mask)).to(dtype or input.dtype)


def masked_tensor(data, mask, requires_grad=False):
    """Not offered: a tensor that carries its mask.

    Raises:
        NotImplementedError: always; the functions of ``torch.masked`` take ``mask=``.
    """
    raise not_supported("torch.masked.masked_tensor", "Pass mask= to the functions of torch.masked instead.")
