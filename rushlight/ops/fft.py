"""Owns the discrete Fourier transforms behind ``torch.fft``.

May import the door, shapes, creation and jax.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from .. import dtypes
from ._execute import scalar_name
from ._op import Array, op
from ._promotion import cast
from .creation import _finish, _options, to_device
from .join import roll
from .shape import wrap_dim

_OPPOSITE = {"forward": "backward", "backward": "forward", "ortho": "ortho"}


def _fitted(x, sizes, dims):
    """Each dimension cut or filled up with zeros to its size."""
    for n, d in zip(sizes, dims):
        if x.shape[d] > n:
            x = x[(slice(None),) * d + (slice(n),)]
        elif x.shape[d] < n:
            x = jnp.pad(x, [(0, n - x.shape[d] if i == d else 0) for i in range(x.ndim)])
    return x


def _inexact(x):
    d = dtypes.from_numpy(x.dtype)
    if d.category < 2:
        return cast(x, dtypes.default_dtype())
    if d.itemsize < 4:
        raise RuntimeError(f"Unsupported dtype {scalar_name(d)}")
    return x


def _complex_transform(x, sizes, dims, norm, inverse):
    """XLA transforms up to three dimensions at once."""
    f = jnp.fft.ifftn if inverse else jnp.fft.fftn
    x = x.astype(jnp.result_type(x.dtype, jnp.complex64))
    for i in range(0, len(dims), 3):
        x = f(x, sizes[i : i + 3], dims[i : i + 3], norm)
    return x


@op(name="fft_c2c", method=False)
def _c2c(input: Array, sizes, dims, norm, inverse):
    return _complex_transform(_fitted(_inexact(input), sizes, dims), sizes, dims, norm, inverse)


@op(name="fft_r2c", method=False)
def _r2c(input: Array, sizes, dims, norm, hermitian):
    x = _fitted(_inexact(input), sizes, dims)
    # The inverse transform of a real signal is the conjugate of the forward one, scaled the other way round.
    norm = _OPPOSITE[norm] if hermitian else norm
    out = jnp.fft.rfft(x, sizes[-1], dims[-1], norm)
    out = _complex_transform(out, sizes[:-1], dims[:-1], norm, False)
    return jnp.conj(out) if hermitian else out


@op(name="fft_c2r", method=False)
def _c2r(input: Array, sizes, dims, norm, hermitian):
    x = _inexact(input)
    x = x.astype(jnp.result_type(x.dtype, jnp.complex64))
    x, norm = (jnp.conj(x), _OPPOSITE[norm]) if hermitian else (x, norm)
    x = _fitted(x, (*sizes[:-1], sizes[-1] // 2 + 1), dims)
    x = _complex_transform(x, sizes[:-1], dims[:-1], norm, True)
    return jnp.fft.irfft(x, sizes[-1], dims[-1], norm)


def _check_norm(norm):
    norm = norm or "backward"
    if norm not in _OPPOSITE:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _check_real(name, input):
    if input.is_complex():
        raise RuntimeError(f"{name} expects a real input tensor, but got {scalar_name(input.dtype)}")


def _positive(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _line(name, operator, to_real=False, from_real=False, flag=False):
    """A transform of one dimension."""

    def transform(input, n=None, dim=-1, norm=None, *, out=None):
        if from_real:
            _check_real(name, input)
        if input.dim() == 0:
            raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
        d, norm = wrap_dim(dim, input.dim()), _check_norm(norm)
        if n is None:
            n = 2 * (input.shape[d] - 1) if to_real else input.shape[d]
        return operator(input, (_positive(n),), (d,), norm, flag, out=out)

    transform.__name__ = transform.__qualname__ = name
    return transform


def _grid(name, operator, two, to_real=False, from_real=False, flag=False):
    """A transform of several dimensions: the last two, or all, unless given."""

    def transform(input, s=None, dim=(-2, -1) if two else None, norm=None, *, out=None):
        if from_real:
            _check_real(name, input)
        norm, ndim = _check_norm(norm), input.dim()
        s = (s,) if isinstance(s, int) else s
        dim = (dim,) if isinstance(dim, int) else dim
        if dim is not None and s is not None and len(dim) != len(s):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        if dim is None:
            if s is not None and len(s) > ndim:
                raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions.")
            dims = tuple(range(ndim)) if s is None else tuple(range(ndim - len(s), ndim))
        else:
            dims = tuple(wrap_dim(d, ndim) for d in dim)
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if not dims and (to_real or from_real):
            raise RuntimeError(f"{name} must transform at least one axis")
        sizes = [input.shape[d] for d in dims]
        if to_real and sizes:
            sizes[-1] = 2 * (sizes[-1] - 1)
        sizes = tuple(_positive(n if m is None or m == -1 else m) for n, m in zip(sizes, s or [None] * len(sizes)))
        return operator(input, sizes, dims, norm, flag, out=out)

    transform.__name__ = transform.__qualname__ = name
    return transform


fft, ifft = _line("fft", _c2c), _line("ifft", _c2c, flag=True)
fft2, ifft2 = _grid("fft2", _c2c, True), _grid("ifft2", _c2c, True, flag=True)
fftn, ifftn = _grid("fftn", _c2c, False), _grid("ifftn", _c2c, False, flag=True)
rfft, ihfft = _line("rfft", _r2c, from_real=True), _line("ihfft", _r2c, from_real=True, flag=True)
rfft2, ihfft2 = _grid("rfft2", _r2c, True, from_real=True), _grid("ihfft2", _r2c, True, from_real=True, flag=True)
rfftn, ihfftn = _grid("rfftn", _r2c, False, from_real=True), _grid("ihfftn", _r2c, False, from_real=True, flag=True)
irfft, hfft = _line("irfft", _c2r, to_real=True), _line("hfft", _c2r, to_real=True, flag=True)
irfft2, hfft2 = _grid("irfft2", _c2r, True, to_real=True), _grid("hfft2", _c2r, True, to_real=True, flag=True)
irfftn, hfftn = _grid("irfftn", _c2r, False, to_real=True), _grid("hfftn", _c2r, False, to_real=True, flag=True)

_WHAT = {
    "fft": "The Fourier transform of a complex signal",
    "rfft": "The first half of the Fourier transform of a real signal; the rest is its mirror image",
    "hfft": "The real Fourier transform of a signal whose second half is the mirror image of the given first",
}
_ARGUMENTS = """

    Args:
        {sizes}: cut or fill up with zeros to this size first.
        dim: along which {dims}.
        norm: ``"backward"`` divides the inverse by the number of points, ``"forward"`` the forward transform,
            ``"ortho"`` both by its root.
    """
for _function in (
    fft, ifft, fft2, ifft2, fftn, ifftn, rfft, irfft, rfft2, irfft2, rfftn, irfftn, hfft, ihfft, hfft2, ihfft2, hfftn,
    ihfftn,
):  # fmt: skip
    _kind = _function.__name__.rstrip("2n")
    _text = _WHAT[_kind.removeprefix("i")]
    _many = _kind != _function.__name__
    _function.__doc__ = (
        (f"The inverse of: {_text[:1].lower()}{_text[1:]}" if _kind[0] == "i" else _text)
        + (" in several dimensions." if _many else ".")
        + _ARGUMENTS.format(sizes="s" if _many else "n", dims="dimensions" if _many else "dimension")
    )


# -- frequencies ----------------------------------------------------------------------------------------------------


def _frequencies(name, f):
    def frequencies(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
        kind, where = _options(dtype, device)
        return _finish(to_device(f(n, d).astype(kind.np), where), where, requires_grad, out, name)

    frequencies.__name__ = frequencies.__qualname__ = name
    frequencies.__doc__ = f"The frequency of every element of ``{name[:-4]}`` of ``n`` points that lie ``d`` apart."
    return frequencies


fftfreq, rfftfreq = _frequencies("fftfreq", np.fft.fftfreq), _frequencies("rfftfreq", np.fft.rfftfreq)


def _shift(input, dim, backwards):
    dims = range(input.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple(wrap_dim(d, input.dim()) for d in dims)
    if not dims:
        return input.clone()
    return roll(input, [(input.shape[d] + backwards) // 2 for d in dims], dims)


def fftshift(input, dim=None):
    """The zero frequency moved to the middle."""
    return _shift(input, dim, 0)


def ifftshift(input, dim=None):
    """The inverse of ``fftshift``."""
    return _shift(input, dim, 1)
