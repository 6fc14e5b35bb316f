"""Owns the short-time Fourier transform and its inverse.

May import the Fourier transforms, shapes, the door and jax.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._op import Array, attach, op
from .search import on_host
from .strided import view_as_real


def _centred(window, size):
    """The window in the middle of ``size`` samples."""
    left = (size - window.shape[0]) // 2
    return jnp.pad(window, (left, size - window.shape[0] - left))


@op(name="stft", method=False)
def _stft(input: Array, window: Array | None, n_fft, hop, length, pad, pad_mode, normalized, onesided):
    x = input[None] if input.ndim == 1 else input
    if pad:
        mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[pad_mode]
        x = jnp.pad(x, ((0, 0), (pad, pad)), mode)
    count = 1 + (x.shape[1] - n_fft) // hop
    frames = x[:, jnp.arange(count)[:, None] * hop + jnp.arange(n_fft)]
    shape = _centred(jnp.ones(length, x.real.dtype) if window is None else window, n_fft)
    transform = jnp.fft.rfft if onesided else jnp.fft.fft
    out = jnp.swapaxes(transform(frames * shape, norm="ortho" if normalized else None), 1, 2)
    return out[0] if input.ndim == 1 else out


def stft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
    onesided=None, return_complex=None, align_to_window=None,
):  # fmt: skip
    """The Fourier transforms of windowed stretches of a signal.

    Args:
        n_fft: samples in each stretch.
        hop_length: samples from one to the next; default: a quarter of ``n_fft``.
        win_length, window: the window, in the middle of each stretch.
        center: pad the signal so that stretches lie around their samples.
        onesided: only half of the frequencies; default for real signals.
        return_complex: False gives pairs of real numbers.

    Shape: (*, samples) gives (*, frequencies, stretches).

    Raises:
        RuntimeError: sizes that do not fit, or ``return_complex`` missing for real input.
    """
    if align_to_window is not None and center:
        raise RuntimeError("stft align_to_window should only be set when center = false.")
    if align_to_window:
        raise NotImplementedError("align_to_window=True is not supported by rushlight. Leave it out.")
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    kind = f"stft({input.type()}{list(input.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={length})"
    is_complex = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not is_complex:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that "
                "return_complex=True in a future PyTorch release."
            )
        return_complex = True
    if input.dtype.category < 2:
        raise RuntimeError(f"{kind}: expected a tensor of floating point or complex values")
    if input.dim() not in (1, 2):
        raise RuntimeError(f"{kind}: expected a 1D or 2D tensor")
    pad = n_fft // 2 if center else 0
    if not 0 < n_fft <= input.shape[-1] + 2 * pad:
        raise RuntimeError(f"{kind}: expected 0 < n_fft < {input.shape[-1] + 2 * pad}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{kind}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{kind}: expected 0 < win_length <= n_fft, but got win_length={length}")
    _check_window(kind, window, length)
    if pad and pad_mode == "reflect" and pad >= input.shape[-1]:
        raise RuntimeError(
            f"Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
            f"({pad}, {pad}) at dimension {input.dim()} of input {list(input.shape)}"
        )
    half = not is_complex if onesided is None else onesided
    if half and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    out = _stft(input, window, n_fft, hop, length, pad, pad_mode, normalized, half)
    return out if return_complex else view_as_real(out)


def _check_window(kind, window, length):
    if window is not None and (window.dim() != 1 or window.shape[0] != length):
        raise RuntimeError(
            f"{kind}: expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )


@op(name="istft", method=False)
def _istft(input: Array, window: Array | None, n_fft, hop, length, center, normalized, onesided, total, complex_out):
    X = input[None] if input.ndim == 2 else input
    norm = "ortho" if normalized else None
    frames = jnp.swapaxes(X, 1, 2)
    if complex_out:
        frames = jnp.fft.ifft(frames, norm=norm)
    else:
        half = frames if onesided else frames[..., : n_fft // 2 + 1]
        frames = jnp.fft.irfft(half, n_fft, norm=norm)
    count = frames.shape[1]
    shape = _centred(jnp.ones(length, X.real.dtype) if window is None else window, n_fft)
    whole = n_fft + hop * (count - 1)
    places = (jnp.arange(count)[:, None] * hop + jnp.arange(n_fft)).reshape(-1)
    frames = (frames * shape).reshape(frames.shape[0], -1)
    signal = jnp.zeros((frames.shape[0], whole), frames.dtype).at[:, places].add(frames)
    envelope = jnp.zeros(whole, shape.dtype).at[places].add(jnp.tile(shape**2, count))
    start = n_fft // 2 if center else 0
    end = start + total if total is not None else whole - (n_fft // 2 if center else 0)
    signal, envelope = signal[:, start : min(end, whole)], envelope[start : min(end, whole)]
    out = signal / envelope
    if end > whole:
        out = jnp.pad(out, ((0, 0), (0, end - whole)))
    return (out[0] if input.ndim == 2 else out), jnp.min(jnp.abs(envelope), initial=1.0)


def istft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
    length=None, return_complex=False,
):  # fmt: skip
    """The signal whose ``stft`` is nearest to ``input``.

    Args:
        length: how many samples to give; default: all that are known.

    Raises:
        RuntimeError: sizes that do not fit, or windows that leave samples uncovered.
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    kind = f"istft({input.type()}{list(input.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={size})"
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    if input.numel() == 0:
        raise RuntimeError("istft input tensor cannot be empty.")
    if input.dim() not in (2, 3):
        raise RuntimeError(f"{kind}: expected a tensor with 2 or 3 dimensions, received {input.dim()}")
    rows = input.shape[-2]
    half = rows != n_fft if onesided is None else onesided
    if rows != (n_fft // 2 + 1 if half else n_fft):
        raise RuntimeError(
            f"{kind}: expected the frequency dimension (2nd to the last) of the input tensor to match "
            f"{'n_fft / 2 + 1 when onesided=True' if half else 'n_fft when onesided=False'}, but got {rows}"
        )
    if not 0 < hop <= size:
        raise RuntimeError(f"{kind}: expected 0 < hop_length <= win_length")
    if not 0 < size <= n_fft:
        raise RuntimeError(f"{kind}: expected 0 < win_length <= n_fft")
    if half and return_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if window is not None and window.is_complex() and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False; expected a real window")
    _check_window(kind, window, size)
    out, lowest = _istft(input, window, n_fft, hop, size, center, normalized, half, length, return_complex)
    if on_host(lowest) and float(lowest) < 1e-11:
        raise RuntimeError(f"{kind}: window overlap add min: {float(lowest):g}")
    return out


attach("stft", stft)
attach("istft", istft)

__all__ = ["istft", "stft"]
