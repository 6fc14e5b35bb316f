"""Owns the mathematical functions of one tensor, element by element, and the questions asked of one element.

May import the door, the promotion rules and jax.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .. import dtypes
from .._tensor.tensor import Tensor
from ._execute import scalar_name
from ._op import Array, Number, attach, in_place_form, op
from ._promotion import cast, rounded_once
from ._results import named
from ._special import bessel_i0, polygamma_of

# -- functions into the floating dtypes -----------------------------------------------------------------------------


def _sigmoid(x):
    (wide,), rounded = rounded_once(x)
    return rounded(jax.nn.sigmoid(wide))


def _erfinv(x):
    # PyTorch rounds the exact value; XLA's approximation in float32 is up to four last places away from it.
    wide = x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    return jax.scipy.special.erfinv(wide).astype(x.dtype)


_FLOATING = {
    "exp": jnp.exp, "exp2": jnp.exp2, "expm1": jnp.expm1, "log": jnp.log, "log2": jnp.log2, "log10": jnp.log10,
    "log1p": jnp.log1p, "sqrt": jnp.sqrt, "rsqrt": jax.lax.rsqrt, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan,
    "asin": jnp.arcsin, "acos": jnp.arccos, "atan": jnp.arctan, "sinh": jnp.sinh, "cosh": jnp.cosh, "tanh": jnp.tanh,
    "asinh": jnp.arcsinh, "acosh": jnp.arccosh, "atanh": jnp.arctanh, "sigmoid": _sigmoid,
    "erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc, "erfinv": _erfinv,
    "reciprocal": lambda x: 1 / x, "lgamma": jax.scipy.special.gammaln, "digamma": lambda x: polygamma_of(0, x),
    "i0": bessel_i0, "sinc": jnp.sinc, "deg2rad": jnp.deg2rad, "rad2deg": jnp.rad2deg,
}  # fmt: skip


def _unary(name, f, promote: str | None = "float", differentiable=True, refuse=(), doc=None):
    def fn(input: Array):
        d = dtypes.from_numpy(input.dtype)
        if d.category in refuse:
            raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(d)}'")
        return f(input)

    fn.__name__, fn.__doc__ = name, doc or f"{name} of every element."
    return op(fn, promote=promote, inplace=True, differentiable=differentiable, numbers=())


(
    exp, exp2, expm1, log, log2, log10, log1p, sqrt, rsqrt, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh,
    acosh, atanh, sigmoid, erf, erfc, erfinv, reciprocal, lgamma, digamma, i0, sinc, deg2rad, rad2deg,
) = (_unary(_name, _f) for _name, _f in _FLOATING.items())  # fmt: skip


@op(promote="float", inplace=True)
def logit(input: Array, eps=None):
    """``log(x / (1 - x))``, with ``x`` first moved into ``[eps, 1 - eps]`` if given."""
    if eps is not None:
        input = jnp.where(input < eps, eps, jnp.where(input > 1 - eps, 1 - eps, input)).astype(input.dtype)
    return jnp.log(input / (1 - input))


_frexp_result = named("frexp", "mantissa", "exponent")


@op(name="frexp", method=False)
def _frexp(input: Array):
    mantissa, exponent = jnp.frexp(jax.lax.stop_gradient(input))
    scaled = input * jnp.exp2(-exponent.astype(input.dtype))
    return mantissa + (scaled - jax.lax.stop_gradient(scaled)), exponent


def frexp(input, *, out=None):
    """Mantissas in [0.5, 1) and whole exponents with ``input = mantissa * 2 ** exponent``.

    Raises:
        RuntimeError: the tensor is not floating.
    """
    if not input.is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return _frexp_result(_frexp(input, out=out))


attach("frexp", frexp)

# -- functions that keep the dtype ----------------------------------------------------------------------------------


def _sign(x):
    return x if x.dtype == bool else jnp.sign(x)


def absolute_of(x):
    """The absolute value of a traced array; its gradient at zero is zero, where JAX's own is one."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x * jax.lax.stop_gradient(jnp.sign(x))
    return x if x.dtype == bool else jnp.abs(x)


def _keep_integers(f):
    return lambda x: f(x) if jnp.issubdtype(x.dtype, jnp.inexact) else x


def _negative(x):
    if x.dtype == bool:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead."
        )
    return -x


def _sgn(x):
    if not jnp.iscomplexobj(x):
        return _sign(x)
    size = jnp.abs(jnp.where(x == 0, 1, x))
    return jnp.where(x == 0, 0, x / size)


abs = _unary("abs", absolute_of, None)
neg = _unary("neg", _negative, None, doc="``-input``.")
sign = _unary("sign", _sign, None, refuse=(3,), doc="-1, 0 or 1 by the sign of every element.")
sgn = _unary("sgn", _sgn, None, doc="The sign; for complex numbers the point on the unit circle.")
floor = _unary("floor", _keep_integers(jnp.floor), None, refuse=(0, 3))
ceil = _unary("ceil", _keep_integers(jnp.ceil), None, refuse=(0, 3))
trunc = _unary("trunc", _keep_integers(jnp.trunc), None, refuse=(0, 3))
frac = _unary("frac", lambda x: x - jax.lax.stop_gradient(jnp.trunc(x)), None, refuse=(0, 1, 3))
square = _unary("square", lambda x: jnp.square(x) if x.dtype != bool else cast(x, dtypes.int64), None)
relu = _unary("relu", lambda x: jnp.where(x <= 0, jnp.zeros((), x.dtype), x), None, refuse=(0, 3))
fix, absolute, negative, arcsin, arccos, arctan = trunc, abs, neg, asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh


@op(inplace=True)
def round(input: Array, *, decimals=0):
    """The nearest whole number (or multiple of ``10**-decimals``); halves go to the even one."""
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        if decimals:
            d = scalar_name(dtypes.from_numpy(input.dtype))
            raise NotImplementedError(f"\"round_vml_cpu\" not implemented for '{d}'")
        return input
    if decimals == 0:
        return jnp.round(input)
    ten = 10.0 ** math.fabs(decimals)
    wide = input.astype(jnp.float32) if input.dtype.itemsize < 4 else input
    out = jnp.round(wide * ten) / ten if decimals > 0 else jnp.round(wide / ten) * ten
    return out.astype(input.dtype)


@op(inplace=True)
def nan_to_num(input: Array, nan=None, posinf=None, neginf=None):
    """nan, inf and -inf replaced: by 0 and the largest and smallest finite numbers unless given."""
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        return input
    return jnp.nan_to_num(input, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


@op(inplace=True)
def conj_physical(input: Array):
    """The complex conjugate."""
    return jnp.conj(input) if jnp.iscomplexobj(input) else input


def conj(input):
    """The complex conjugate; a real tensor as it is."""
    return conj_physical(input) if input.is_complex() else input


def resolve_conj(input):
    """The tensor itself: a conjugate is computed at once."""
    return input


resolve_neg = resolve_conj


@op
def angle(input: Array):
    """The angle of a complex number; 0 or pi for a real one."""
    if jnp.iscomplexobj(input):
        return jnp.angle(input)
    x = cast(input, dtypes.default_dtype()) if not jnp.issubdtype(input.dtype, jnp.floating) else input
    return jax.lax.stop_gradient(jnp.where(jnp.isnan(x), x, jnp.where(x < 0, math.pi, 0.0).astype(x.dtype)))


def positive(input):
    """The tensor itself.

    Raises:
        RuntimeError: a bool tensor.
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# -- questions ------------------------------------------------------------------------------------------------------


def _question(name, f, doc):
    def fn(input: Array):
        return f(input)

    fn.__name__, fn.__doc__ = name, doc
    return op(fn, differentiable=False, numbers=())


isnan = _question("isnan", jnp.isnan, "Whether an element is nan.")
isinf = _question("isinf", jnp.isinf, "Whether an element is infinite.")
isfinite = _question("isfinite", jnp.isfinite, "Whether an element is neither nan nor infinite.")
isposinf = _question("isposinf", jnp.isposinf, "Whether an element is inf.")
isneginf = _question("isneginf", jnp.isneginf, "Whether an element is -inf.")
isreal = _question("isreal", jnp.isreal, "Whether an element has no imaginary part.")
signbit = _question(
    "signbit",
    lambda x: jnp.signbit(x) if jnp.issubdtype(x.dtype, jnp.floating) else x < 0 if x.dtype != bool else x & False,
    "Whether the sign of an element is negative (-0.0 counts).",
)


# -- filling --------------------------------------------------------------------------------------------------------


@op(linear=True)
def fill(input: Array, value: Array):
    """A tensor like ``input`` with every element ``value``.

    Raises:
        RuntimeError: ``value`` has dimensions.
    """
    if value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return jnp.broadcast_to(cast(value, dtypes.from_numpy(input.dtype)), input.shape)


def zero_(self):
    """Set every element to zero."""
    self._check_in_place()
    return self._assign(fill(self, 0))


def fill_(self, value):
    """Set every element to ``value``."""
    self._check_in_place()
    return self._assign(fill(self, value))


attach("zero_", zero_)
attach("fill_", fill_)
for _name, _function in {
    "fix": trunc, "absolute": abs, "negative": neg, "arcsin": asin, "arccos": acos, "arctan": atan, "arcsinh": asinh,
    "arccosh": acosh, "arctanh": atanh,
}.items():  # fmt: skip
    attach(_name, _function)
    attach(_name + "_", getattr(Tensor, _function.name + "_"))
for _function in (conj, resolve_conj, positive):
    attach(_function.__name__, _function)
attach("resolve_neg", resolve_neg)
attach("is_conj", lambda self: False)
attach("is_neg", lambda self: False)


def threshold(input, threshold, value):
    """``input`` where it exceeds ``threshold``, else ``value``."""
    return _threshold(input, threshold, value)


@op(name="threshold", method=False)
def _threshold(input: Array, threshold: Number, value: Number):
    d = dtypes.from_numpy(input.dtype)
    return jnp.where(input <= cast(threshold, d), cast(value, d), input)


threshold_ = in_place_form(threshold)

__all__ = [
    "abs", "absolute", "acos", "acosh", "angle", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin",
    "asinh", "atan", "atanh", "ceil", "conj", "conj_physical", "cos", "cosh", "deg2rad", "digamma", "erf", "erfc",
    "erfinv", "exp", "exp2", "expm1", "fill", "fix", "floor", "frac", "frexp", "i0", "isfinite", "isinf", "isnan",
    "isneginf", "isposinf", "isreal", "lgamma", "log", "log10", "log1p", "log2", "logit", "nan_to_num", "neg",
    "negative", "positive", "rad2deg", "reciprocal", "relu", "resolve_conj", "resolve_neg", "round", "rsqrt", "sgn",
    "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "sqrt", "square", "tan", "tanh", "threshold", "threshold_",
    "trunc",
]  # fmt: skip
