"""Owns the forms in which a CPU computes convolutions: channels last on XLA's own, products, sums of shifted operands.

May import held values and jax. XLA:CPU runs ordinary convolutions of channels-last operands fast; kernels of one
element, single channels and groups take it up to a thousand times as long as another form
(``benchmarks/convolutions.py`` measures them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from . import _patches, _winograd
from ._orders import Held, identity

# Elements of a kernel up to which a convolution may be written out as a sum with a term for each.
_TERMS = 256
# Elements of a kernel from which its gradient is worth bringing space to the end, where sums over it are faster.
_LARGE_KERNEL = 16
# Channels of a group from which a convolution of its own is fast.
_WIDE = 32


@dataclass(frozen=True)
class Convolution:
    """What ``lax.conv_general_dilated`` computes of operands called (batch, channels, ...) and (out, in, ...)."""

    strides: tuple
    padding: tuple
    lhs_dilation: tuple
    rhs_dilation: tuple
    groups: int
    batch_groups: int
    precision: Any
    dtype: Any

    def sizes(self, lhs: Held, rhs: Held) -> list[int]:
        """The result's spatial sizes."""
        return [
            ((n - 1) * ld + 1 + low + high - (k - 1) * rd - 1) // s + 1
            for n, ld, (low, high), k, rd, s in zip(
                lhs.shape[2:], self.lhs_dilation, self.padding, rhs.shape[2:], self.rhs_dilation, self.strides
            )
        ]


def convolution(eqn, lhs: Held, rhs: Held) -> Held:
    """The result of an equation of JAX, in whatever order is best."""
    numbers, p = eqn.params["dimension_numbers"], eqn.params
    conv = Convolution(
        tuple(p["window_strides"]), tuple(p["padding"]), tuple(p["lhs_dilation"]), tuple(p["rhs_dilation"]),
        p["feature_group_count"], p["batch_group_count"], p["precision"], eqn.outvars[0].aval.dtype,
    )  # fmt: skip
    given, kernel = lhs.renamed(numbers.lhs_spec), rhs.renamed(numbers.rhs_spec)
    out = _convolve(given, kernel, conv)
    lhs.learn(given, numbers.lhs_spec)
    rhs.learn(kernel, numbers.rhs_spec)
    back = [numbers.out_spec.index(d) for d in range(lhs.ndim)]
    return out.renamed(back)


def _convolve(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    kernel, out = rhs.shape[2:], conv.sizes(lhs, rhs)
    if not (lhs.size and rhs.size and all(n > 0 for n in out)):
        return _general(lhs, rhs, conv)
    slides = all(k > 2 * o for k, o in zip(kernel, out))
    if conv.batch_groups > 1:
        if lhs.shape[0] == conv.batch_groups and math.prod(out) <= _TERMS:
            return _kernel_by_sums(lhs, rhs, conv)
        return _kernel_by_groups(lhs, rhs, conv)
    if conv.groups > 1:
        sums = rhs.shape[1] == 1 and math.prod(kernel) <= _TERMS
        return _by_sums(lhs, rhs, conv) if sums else _by_groups(lhs, rhs, conv)
    if _patches.fits_gradient(lhs, rhs, conv, out):
        return _patches.gradient(lhs, rhs, conv, out)
    if _patches.fits(lhs, rhs, conv, out):
        return _patches.convolve(lhs, rhs, conv, out)
    if lhs.shape[1] == 1 and math.prod(kernel) <= _TERMS // 4 and not slides:
        return _by_sums(lhs, rhs, conv)
    once = all(low == 0 and high <= 0 for low, high in conv.padding) and set(conv.lhs_dilation) == {1}
    if once and math.prod(out) == 1 < math.prod(kernel):
        return _product(lhs, rhs, conv)
    if slides and _winograd.fits_gradient(lhs, rhs, conv, out):
        return _winograd.gradient(lhs, rhs, conv)
    if slides and set(conv.strides) == set(conv.rhs_dilation) == {1}:
        return _sliding(lhs, rhs, conv)
    if _winograd.fits(lhs, rhs, conv, out):
        return _winograd.convolve(lhs, rhs, conv, out)
    return _general(lhs, rhs, conv)


def _last(ndim: int, *front) -> tuple:
    """An order: the dimensions named, those of space, and the one of the first two that was not named."""
    return (*front, *range(2, ndim), *(d for d in (1, 0) if d not in front))


def _general(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """XLA's own convolution, channels last."""
    n = lhs.ndim
    last, kernel = _last(n, 0), (*range(2, n), 1, 0)
    return Held(_bind(lhs.get(last), rhs.get(kernel), conv), last)


def _bind(lhs, rhs, conv: Convolution):
    n = lhs.ndim
    spec = (0, n - 1, *range(1, n - 1))
    return lax.conv_general_dilated(
        lhs, rhs, conv.strides, conv.padding, conv.lhs_dilation, conv.rhs_dilation,
        lax.ConvDimensionNumbers(spec, (n - 1, n - 2, *range(n - 2)), spec), conv.groups, conv.batch_groups,
        conv.precision, conv.dtype,
    )  # fmt: skip


def _sliding(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """A large operand over another, as in the gradient with respect to a kernel.

    Sliding the other one gives the same sums with the kernel's first dimension outermost, as it is stored, and leaves
    out the zeros between the elements of a dilated operand.
    """
    n = lhs.ndim
    pads = tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(conv.sizes(lhs, rhs), conv.padding))
    turned = replace(conv, padding=pads, lhs_dilation=(1,) * (n - 2), rhs_dilation=conv.lhs_dilation)
    out = _bind(rhs.get((0, *range(2, n), 1)), lhs.get((*range(2, n), 1, 0)), turned)
    return Held(lax.rev(out, range(1, n - 1)), _last(n, 1))


def _product(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """The gradient of a kernel of one element: every value of the one operand meets one of the other."""
    n = lhs.ndim
    whole, kernels = lhs.get(_last(n, 1)), rhs.get(_last(n, 1))
    steps = (1, *conv.rhs_dilation, 1)
    reach = [(k - 1) * s + 1 for k, s in zip(rhs.shape[2:], steps[1:])]
    used = lax.slice(whole, [0] * n, [whole.shape[0], *reach, whole.shape[-1]], steps)
    # XLA transposes the first operand, so that is the smaller one.
    (first, row), (second, column) = sorted([(kernels, 1), (used, 0)], key=lambda pair: pair[0].size)
    along = identity(n - 1)
    out = lax.dot_general(first, second, ((along, along), ((), ())), conv.precision, conv.dtype)
    return Held(out.reshape(out.shape[0], *[1] * (n - 2), out.shape[1]), (row, *range(2, n), column))


# -- single channels and groups ---------------------------------------------------------------------------------------


def _wide(dtype):
    """What to add up in: half precision in float32, as XLA does."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 and jnp.issubdtype(dtype, jnp.floating) else dtype


def _channels(lhs: Held, channel: int, free: bool) -> tuple:
    """The order for sums: as the operand lies, with its channels last or next to last but for space."""
    n = lhs.ndim
    other = 1 - channel
    return _last(n, other) if free or lhs.first[-1] == channel else (other, channel, *range(2, n))


def _padded(array, order, conv: Convolution):
    config = [(0, 0, 0) if d < 2 else (*conv.padding[d - 2], conv.lhs_dilation[d - 2] - 1) for d in order]
    return lax.pad(array, array.dtype.type(0), config)


def _shifted(array, order, at, steps, counts):
    """The part of a padded operand that lies under one element of the other."""
    start, stop, step = list(at), [], []
    starts = [0 if d < 2 else start[d - 2] for d in order]
    for d, first, size in zip(order, starts, array.shape):
        step.append(1 if d < 2 else steps[d - 2])
        stop.append(size if d < 2 else first + (counts[d - 2] - 1) * steps[d - 2] + 1)
    return lax.slice(array, starts, stop, step)


def _by_sums(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """Each result channel from one channel: a sum of shifted operands, one for each element of the kernel."""
    n, (channels, out) = lhs.ndim, (lhs.shape[1], rhs.shape[0])
    order = _channels(lhs, 1, conv.groups == 1)
    place, kind = order.index(1), _wide(conv.dtype)
    kernel = rhs.get((*range(2, n), 1, 0)).astype(kind)
    sizes = conv.sizes(lhs, rhs)

    def sums(value):
        total = None
        for at in np.ndindex(*rhs.shape[2:]):
            part = _shifted(value, order, [i * s for i, s in zip(at, conv.rhs_dilation)], conv.strides, sizes)
            if 1 < channels < out:
                part = jnp.repeat(part, out // channels, place)
            term = part * kernel[at].reshape([out if i == place else 1 for i in range(n)])
            total = term if total is None else total + term
        assert total is not None
        return total.astype(conv.dtype)

    value = _padded(lhs.get(order), order, conv).astype(kind)
    if conv.groups > 1 or len(value) % 2:
        return Held(sums(value), order)
    # Else XLA computes the sums again inside of everything that needs them, such as the gradient of a maximum. A loop
    # runs on one thread, which does not matter for what little one channel has.
    total = lax.map(sums, value.reshape(2, len(value) // 2, *value.shape[1:]))
    return Held(total.reshape(len(value), *total.shape[2:]), order)


def _kernel_by_sums(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """The gradient of such a kernel: for each of its elements, the sum of one operand times the other, shifted."""
    n, (channels, out) = lhs.ndim, (lhs.shape[0], rhs.shape[0])
    order = (1, 0, *range(2, n)) if math.prod(conv.sizes(lhs, rhs)) >= _LARGE_KERNEL else _channels(lhs, 0, False)
    place, kind = order.index(0), _wide(conv.dtype)
    value, other = _padded(lhs.get(order), order, conv).astype(kind), rhs.get(order).astype(kind)
    if channels < out:
        value = jnp.repeat(value, out // channels, place)
    sizes = conv.sizes(lhs, rhs)
    terms = [
        _shifted(value, order, [i * s for i, s in zip(at, conv.strides)], conv.rhs_dilation, rhs.shape[2:]) * other
        for at in np.ndindex(*sizes)
    ]
    # All of them in one pass, and only over space, so that several threads share the work.
    space = [i for i, d in enumerate(order) if d > 1]
    zeros = [jnp.zeros((), kind)] * len(terms)
    sums = lax.reduce(terms, zeros, lambda a, b: [x + y for x, y in zip(a, b)], space)
    out_of = jnp.stack([s.sum(0) for s in sums]).astype(conv.dtype)
    return Held(out_of.reshape(1, *sizes, out), _last(n, 0))


def _cut(held: Held, order: tuple, dim: int, start: int, size: int) -> Held:
    return Held(lax.slice_in_dim(held.get(order), start, start + size, axis=order.index(dim)), order)


def _by_groups(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """A convolution for each group."""
    n, groups = lhs.ndim, conv.groups
    each, out, one = lhs.shape[1] // groups, rhs.shape[0] // groups, replace(conv, groups=1)
    order, kernel = _last(n, 0), (*range(2, n), 1, 0)
    parts = [
        _convolve(_cut(lhs, order, 1, i * each, each), _cut(rhs, kernel, 0, i * out, out), one).get(order)
        for i in range(groups)
    ]
    return Held(lax.concatenate(parts, n - 1), order)


def _kernel_by_groups(lhs: Held, rhs: Held, conv: Convolution) -> Held:
    """The gradient of the kernel of a convolution with groups: one for some of them together, where they are small.

    What one group's operand makes with another's is left out again.
    """
    n, groups = lhs.ndim, conv.batch_groups
    each, out, one = lhs.shape[0] // groups, rhs.shape[0] // groups, replace(conv, batch_groups=1)
    together = max(r for r in range(1, groups + 1) if groups % r == 0 and (r == 1 or r * max(each, out) <= _WIDE))
    order = _last(n, 1)
    own = np.eye(together, dtype=bool).reshape(together, 1, together, 1, *[1] * (n - 2))
    parts = []
    for i in range(0, groups, together):
        found = _convolve(
            _cut(lhs, order, 0, i * each, together * each), _cut(rhs, order, 0, i * out, together * out), one
        ).plain
        found = found.reshape(together, each, together, out, *found.shape[2:])
        found = jnp.where(own, found, jnp.zeros((), found.dtype)).sum(0) if together > 1 else found[0]
        parts.append(found.reshape(each, together * out, *found.shape[3:]))
    return Held(lax.concatenate(parts, 1), identity(n))
