"""Owns the random operators: torch's CPU stream in eager mode, JAX keys on accelerators and inside traces.

May import random, the tensor cell and the door.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _device as devices
from .. import dtypes
from .._errors import type_name
from .._graph.modes import state
from .._tensor.tensor import Tensor, to_device
from .._tensor.unread import write_later
from .._tensor.views import is_contiguous
from ..random import continuous, discrete, distributions, replay
from ..random.generator import Generator, generator_of
from ._execute import scalar_name, write_out
from ._op import Array, method, op
from .creation import _check_layout, _finish, _options, shape_of


def _source(generator, where) -> Generator:
    """The generator to draw from.

    Raises:
        RuntimeError: it belongs to another device.
    """
    if generator is None:
        return generator_of(where)
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be torch.Generator, not {type_name(generator)}")
    if generator.device.type != where.type and where.type != "meta":
        raise RuntimeError(
            f"Expected a '{where.type}' device type for generator but found '{generator.device.type}'. "
            f"Make it with torch.Generator('{where.type}')."
        )
    return generator


def _drawn(generator, where, shape, d, host, keyed):
    """Numbers for a new tensor: from torch's stream on the CPU, from a JAX key elsewhere."""
    if where.type == "meta":
        return jax.ShapeDtypeStruct(shape, d.np)
    if state.vmap is not None:
        return state.vmap.draw(lambda: _draw_once(generator, where, host, keyed))
    return _draw_once(generator, where, host, keyed)


def _draw_once(generator, where, host, keyed):
    source = _source(generator, where)
    if where.type == "cpu" and state.trace is None:
        return to_device(np.asarray(host(source._engine)), where)
    if keyed is None:
        raise NotImplementedError(
            "this distribution inside a compiled function is not supported by rushlight. Draw outside of it and pass "
            "the result as an argument."
        )
    drawn = keyed(source.next_key())
    return drawn if state.trace is not None else jax.device_put(drawn, devices.jax_device(where))


def _real(d):
    """The dtype to draw keyed numbers in."""
    return d.np if d.category == 2 else np.float32


def _complex_draw(function):
    """Draw a complex tensor as twice as many real numbers, as torch does."""

    def drawn(engine, shape, d, contiguous=True):
        if d.category < 3:
            return function(engine, shape, d)
        pairs = function(engine, (*shape, 2), d.to_real())
        return np.ascontiguousarray(pairs).view(d.np).reshape(shape)

    return drawn


@_complex_draw
def _uniform01(engine, shape, d, contiguous=True):
    return continuous.uniform(engine, shape, 0.0, 1.0, d)


def _normal01(engine, shape, d, contiguous=True):
    if d.category == 3:
        # A complex normal has variance 1 over both parts.
        pairs = continuous.normal(engine, (*shape, 2), 0.0, float(np.sqrt(0.5)), d.to_real())
        return np.ascontiguousarray(pairs).view(d.np).reshape(shape)
    return continuous.normal(engine, shape, 0.0, 1.0, d, contiguous=contiguous)


def _need_float(name, d):
    if d.category < 2:
        raise NotImplementedError(
            f"\"{name}\" not implemented for '{scalar_name(d)}'; expected a floating point dtype, received {d!r}"
        )


def memory_order(input):
    """The dimensions of a transposed tensor in the order of memory; None for any other tensor."""
    if not input._path or input.is_contiguous():
        return None
    strides, shape = input.stride(), input.shape
    order = sorted(range(len(strides)), key=lambda i: -strides[i])
    dense = is_contiguous([shape[i] for i in order], [strides[i] for i in order])
    return order if dense else None


def _float_maker(name, host, keyed, check):
    def make(*args, size=None, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
             pin_memory=False, names=None):  # fmt: skip
        _check_layout(layout)
        d, where = _options(dtype, device)
        _need_float(check, d)
        shape = shape_of(args if size is None else (size,))
        array = _drawn(
            generator, where, shape, d, lambda e: host(e, shape, d), lambda k: keyed(k, shape, _real(d)).astype(d.np)
        )
        return _finish(array, where, requires_grad, out, name)

    def like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, generator=None):
        order = None if memory_format in (dtypes.contiguous_format, dtypes.channels_last) else memory_order(input)
        d, where = _options(dtype or input.dtype, device or input.device)
        if order is not None and where.type != "meta":
            # torch draws in the order of memory, which is not that of the dimensions in a transposed tensor.
            _check_layout(layout)
            _need_float(check, d)
            shape = tuple(input.size(i) for i in order)
            array: Any = _drawn(
                generator, where, shape, d, lambda e: host(e, shape, d, contiguous=False),
                lambda k: keyed(k, shape, _real(d)).astype(d.np),
            )  # fmt: skip
            return _finish(jnp.transpose(array, [order.index(i) for i in range(len(order))]), where, requires_grad)
        return make(*input.shape, size=tuple(input.shape), dtype=dtype or input.dtype, device=device or input.device,
                    requires_grad=requires_grad, generator=generator, layout=layout)  # fmt: skip

    make.__name__ = make.__qualname__ = name
    like.__name__ = like.__qualname__ = name + "_like"
    what = "uniform numbers in [0, 1)" if name == "rand" else "standard normal numbers"
    make.__doc__ = f"A tensor of {what}.\n\n    Args:\n        size: the shape.\n        generator: where to draw.\n"
    like.__doc__ = f"A tensor of {what}, shaped like ``input``."
    return make, like


rand, rand_like = _float_maker("rand", _uniform01, jax.random.uniform, "check_uniform_bounds")
randn, randn_like = _float_maker("randn", _normal01, jax.random.normal, "normal_kernel_cpu")


def randint(*args, low=None, high=None, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
            requires_grad=False, pin_memory=False):  # fmt: skip
    """Integers from ``low`` (default 0) to before ``high``: ``randint(high, size)`` or ``randint(low, high, size)``.

    Raises:
        RuntimeError: an empty range.
    """
    args = list(args)
    if size is None:
        if args and not isinstance(args[-1], (int, np.integer)):
            size = args.pop()
        else:
            raise TypeError("randint() missing 1 required positional argument: 'size'")
    if len(args) == 2:
        low, high = args
    elif len(args) == 1:
        if high is None:
            high = args[0]
        else:
            low = args[0]
    if high is None:
        raise TypeError("randint() missing 1 required positional argument: 'high'")
    low, high = 0 if low is None else int(low), int(high)
    d, where = _options(dtype, device, dtypes.int64)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    shape = shape_of((size,))
    array = _drawn(
        generator, where, shape, d, lambda e: discrete.randint(e, low, high, shape, d),
        lambda k: jax.random.randint(k, shape, low, high, dtype=jnp.int64).astype(d.np),
    )  # fmt: skip
    return _finish(array, where, requires_grad, out, "randint")


def randint_like(input, low=None, high=None, *, dtype=None, layout=None, device=None, requires_grad=False,
                 memory_format=None, generator=None):  # fmt: skip
    """Integers shaped like ``input``."""
    if high is None:
        low, high = 0, low
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype, device=device or input.device,
                   requires_grad=requires_grad, generator=generator)  # fmt: skip


def randperm(
    n, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """The numbers 0 to n - 1 in random order.

    Example:
        >>> import rushlight as torch
        >>> torch.randperm(4, generator=torch.Generator().manual_seed(0))
        tensor([0, 1, 3, 2])
    """
    d, where = _options(dtype, device, dtypes.int64)
    if n < 0:
        raise RuntimeError("n must be non-negative, got" + str(n))
    array = _drawn(generator, where, (n,), d, lambda e: discrete.randperm(e, n, d),
                   lambda k: jax.random.permutation(k, jnp.arange(n)).astype(d.np))  # fmt: skip
    return _finish(array, where, requires_grad, out, "randperm")


# From this many elements on, numbers are drawn when they are first read: most initial values never are, because a
# checkpoint or another draw takes their place. Fewer are drawn at once, unless that would draw others before them.
_LATER_FROM = 1 << 12
_LATER_AFTER = 16


def _fill(self, generator, host, keyed, words=None):
    """Overwrite a tensor with drawn numbers.

    Args:
        words: draws the words that ``host`` takes, where the numbers may be computed later.
    """
    self._check_in_place()
    form, d = self._form(), self.dtype
    shape = tuple(form.shape)
    engine = None
    if words is not None and form.size >= _LATER_AFTER and d.category == 2 and can_wait(self):
        engine = _source(generator, self.device)._engine
    if words is not None and engine is not None and (engine.waits or form.size >= _LATER_FROM):
        drawn = words(engine, form.size, d)
        write_later(
            self._storage, shape, form.dtype, lambda: to_device(np.asarray(host(drawn.again(), shape, d)), devices.cpu)
        )
        return self
    array = _drawn(
        generator, self.device, shape, d, lambda e: host(e, shape, d), lambda k: keyed(k, shape).astype(d.np)
    )
    return self._assign(Tensor._of(array, self.device))


def can_wait(tensor) -> bool:
    """Whether new contents of a tensor may be made later: on the CPU, whole, and with nothing to record."""
    return (
        tensor._storage.device.type == "cpu"
        and not tensor._path
        and tensor._base is None
        and state.trace is None
        and state.vmap is None
        and not (state.grad and tensor._edge() is not None)
    )


@method()
def uniform_(self, from_=0.0, to=1.0, *, generator=None, **kwargs):
    """Fill with uniform numbers in ``[from, to)``."""
    low, high = float(kwargs.pop("from", from_)), float(to)
    _need_float("check_uniform_bounds", self.dtype)
    continuous.check_bounds(low, high, self.dtype)
    return _fill(self, generator, lambda e, s, d: continuous.uniform(e, s, low, high, d),
                 lambda k, s: jax.random.uniform(k, s, _real(self.dtype), low, high), replay.for_uniform)  # fmt: skip


@method()
def normal_(self, mean=0.0, std=1.0, *, generator=None):
    """Fill with normal numbers."""
    mean, std = float(mean), float(std)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    _need_float("normal_kernel_cpu", self.dtype)
    contiguous = self.is_contiguous()
    return _fill(self, generator, lambda e, s, d: continuous.normal(e, s, mean, std, d, contiguous=contiguous),
                 lambda k, s: jax.random.normal(k, s, _real(self.dtype)) * std + mean,
                 replay.for_normal if contiguous else None)  # fmt: skip


@method()
def bernoulli_(self, p=0.5, *, generator=None):
    """Fill with ones (probability ``p``) and zeros."""
    p = p if isinstance(p, Tensor) else float(p)
    return _fill(self, generator, lambda e, s, d: discrete.bernoulli(e, _host(p), s, d),
                 lambda k, s: jax.random.bernoulli(k, p._array() if isinstance(p, Tensor) else p, s))  # fmt: skip


@method()
def random_(self, *args, generator=None, **kwargs):
    """Fill with integers: ``random_()`` over the dtype's range, ``random_(to)``, ``random_(from, to)``."""
    low, high = (
        (args[0], args[1]) if len(args) == 2 else (0, args[0]) if args else (kwargs.get("from"), kwargs.get("to"))
    )

    def keyed(k, s):
        top = high if high is not None else 2**31 - 1
        return jax.random.randint(k, s, low or 0, top, dtype=jnp.int64)

    return _fill(self, generator, lambda e, s, d: discrete.random(e, s, d, low, high), keyed)


def _by_key(name, function, formula):
    def fill(self, *args, generator=None, **kwargs):
        def keyed(k, s):
            function(Generator()._engine, (0,), *args, dtype=self.dtype, **kwargs)  # refuses what is out of range
            return formula(k, s, _real(self.dtype), *args, **kwargs)

        return _fill(self, generator, lambda e, s, d: function(e, s, *args, dtype=d, **kwargs), keyed)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"Fill with numbers of the {name.rstrip('_').replace('_', '-')} distribution."
    method(name)(fill)


_by_key("exponential_", continuous.exponential, lambda k, s, d, lambd=1.0: jax.random.exponential(k, s, d) / lambd)
_by_key(
    "cauchy_", continuous.cauchy, lambda k, s, d, median=0.0, sigma=1.0: jax.random.cauchy(k, s, d) * sigma + median
)
_by_key(
    "log_normal_", continuous.log_normal,
    lambda k, s, d, mean=1.0, std=2.0: jnp.exp(jax.random.normal(k, s, d) * std + mean),
)  # fmt: skip
_by_key("geometric_", discrete.geometric, lambda k, s, d, p: jax.random.geometric(k, p, s))


@op(name="normal", method=False)
def _without_gradient(input: Array, parameters: list[Array]):
    """Drawn numbers: torch gives what they were drawn from gradients of zero."""
    return input


def bernoulli(input, p=None, *, generator=None, out=None):
    """Ones and zeros; the probability of each one is ``input``'s element, or ``p``."""
    made = input.detach().clone().bernoulli_(input.detach() if p is None else p, generator=generator)
    made = _without_gradient(made, [input]) if input.requires_grad else made
    return made if out is None else write_out("bernoulli", made, out)


method("bernoulli")(bernoulli)


def poisson(input, generator=None):
    """Poisson numbers; the rate of each is ``input``'s element."""
    return _from_rates(distributions.poisson, jax.random.poisson, generator, input)


def binomial(count, prob, generator=None):
    """How many of ``count`` trials succeed, each with probability ``prob``."""
    return _from_rates(distributions.binomial, jax.random.binomial, generator, count, prob)


def _from_rates(draw, keyed, generator, *tensors):
    first = tensors[0]
    array = _drawn(
        generator, first.device, tuple(first.shape), first.dtype,
        lambda e: draw(e, *(np.asarray(t._host()) for t in tensors)),
        lambda k: keyed(k, *(t._array() for t in tensors)).astype(first.dtype.np),
    )  # fmt: skip
    return Tensor._of(array, first.device)


def normal(mean=0.0, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
           requires_grad=False):  # fmt: skip
    """Normal numbers whose mean and standard deviation are numbers or tensors."""
    if size is not None:
        d, where = _options(dtype, device)
        made = _finish(to_device(np.empty(shape_of((size,)), d.np), where), where, False)
        made.normal_(mean, std, generator=generator)
    else:
        like: Any = mean if isinstance(mean, Tensor) else std
        array = _drawn(
            generator, like.device, like.shape, like.dtype,
            lambda e: continuous.normal_arrays(e, _host(mean), _host(std)),
            lambda k: _keyed_normal(k, *(x._array() if isinstance(x, Tensor) else x for x in (mean, std)))
            .astype(like.dtype.np),
        )  # fmt: skip
        made = Tensor._of(array, like.device)
        parameters = [x for x in (mean, std) if isinstance(x, Tensor)]
        if any(x.requires_grad for x in parameters):
            made = _without_gradient(made, parameters)
    made = made if out is None else write_out("normal", made, out)
    return made.requires_grad_() if requires_grad else made


def _keyed_normal(key, mean, std):
    return jax.random.normal(key, np.broadcast_shapes(np.shape(mean), np.shape(std))) * std + mean


def _host(x):
    return x._host() if isinstance(x, Tensor) else x


def _keyed_multinomial(key, weights, count, replacement):
    if not 0 < weights.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    logits = jnp.log(weights)
    if replacement:
        return jnp.moveaxis(jax.random.categorical(key, logits, shape=(count, *weights.shape[:-1])), 0, -1)
    # The largest of logarithms to which Gumbel noise is added are a draw without replacement.
    noisy = logits + jax.random.gumbel(key, logits.shape, logits.dtype)
    return jax.lax.top_k(noisy, count)[1].astype(jnp.int64)


def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
    """Indices drawn with the rows of ``input`` as weights.

    Raises:
        RuntimeError: weights that are negative, infinite or all zero, or too many samples without replacement.
    """
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {scalar_name(out.dtype)}")
    if input.dim() and input.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    array = _drawn(
        generator, input.device, (), dtypes.int64,
        lambda e: discrete.multinomial(e, input._host(), num_samples, replacement),
        lambda k: _keyed_multinomial(k, input._array(), num_samples, replacement),
    )  # fmt: skip
    made = Tensor._of(array, input.device)
    return made if out is None else write_out("multinomial", made, out)


method("multinomial")(multinomial)


__all__ = [
    "bernoulli", "binomial", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "randperm",
]  # fmt: skip
