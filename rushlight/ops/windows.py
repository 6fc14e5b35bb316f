"""Owns window functions: ``torch.signal.windows`` and the older ``torch.hann_window`` and its kin.

May import creation and numpy; windows are computed on the host in double precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import dtypes
from .._tensor.tensor import to_device
from .creation import _check_layout, _finish, _options


def _window(name: str, arguments: str, doc: str) -> Any:
    """Declare ``formula(phase, count, **options)`` as a window of ``torch.signal.windows``.

    ``phase`` runs over the sample numbers and ``count`` is the number of samples in a period.
    """

    def declare(formula):
        def window(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False, **options):
            d, where = _options(dtype, device)
            if M < 0:
                raise ValueError(f"{name} requires non-negative window length, got M={M}")
            if layout not in (None, dtypes.strided):
                raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
            if d not in (dtypes.float32, dtypes.float64):
                raise ValueError(f"{name} expects float32 or float64 dtypes, got: {d}")
            values = formula(np.arange(M, dtype=np.float64), M if not sym and M > 1 else M - 1, sym=sym, **options)
            return _finish(to_device(values.astype(d.np), where), where, requires_grad)

        window.__name__ = window.__qualname__ = name
        window.__doc__ = f"""{doc}

    Args:
        M: how many samples.{arguments}
        sym: True for a symmetric window (filters), False for a periodic one (spectra).
        dtype: float32 or float64.
    """
        return window

    return declare


def _bump(values, count):
    """A window of one sample is one."""
    return np.ones(len(values)) if count <= 0 else values


@_window(
    "general_cosine", "\n        a: the weights of the cosines.", "A sum of cosines with weights of alternating sign."
)
def general_cosine(i, count, *, a, sym):
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = list(a)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    angle = 2 * np.pi * i / max(count, 1)
    return _bump(sum((-1) ** k * w * np.cos(k * angle) for k, w in enumerate(weights)) + 0 * i, count)


def _cosines(name, doc, weights):
    def window(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
        return general_cosine(
            M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
        )

    window.__name__ = window.__qualname__ = name
    window.__doc__ = doc
    return window


hann = _cosines("hann", "One period of a raised cosine that falls to zero at both ends.", (0.5, 0.5))
blackman = _cosines("blackman", "Three cosines that fall to zero at both ends.", (0.42, 0.5, 0.08))
nuttall = _cosines("nuttall", "Nuttall's four cosines (1981).", (0.3635819, 0.4891775, 0.1365995, 0.0106411))


def general_hamming(M, *, alpha=0.54, **options):
    """A cosine of weight ``1 - alpha`` on a floor of ``alpha``."""
    return general_cosine(M, a=(alpha, 1.0 - alpha), **options)


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):
    """Hamming's cosine on a floor of 0.54."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


@_window("bartlett", "", "A triangle that falls to zero at both ends.")
def bartlett(i, count, *, sym):
    return _bump(1 - np.abs(2 * i / max(count, 1) - 1), count)


@_window("cosine", "", "Half a period of a sine.")
def cosine(i, count, *, sym):
    return np.sin(np.pi * (i + 0.5) / (count + 1))


@_window(
    "exponential",
    "\n        tau: the decay.\n        center: of a periodic window.",
    "A decay on both sides of the centre.",
)
def exponential(i, count, *, sym, center=None, tau=1.0):
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return np.exp(-np.abs(i - (count / 2 if center is None else center)) / tau)


@_window("gaussian", "\n        std: the standard deviation.", "A normal density of height one.")
def gaussian(i, count, *, sym, std=1.0):
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return np.exp(-0.5 * np.square((i - count / 2) / std))


@_window("kaiser", "\n        beta: the shape.", "Kaiser's window, from the Bessel function I0.")
def kaiser(i, count, *, sym, beta=12.0):
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    inside = np.maximum(1 - np.square(2 * i / max(count, 1) - 1), 0)
    return _bump(np.i0(beta * np.sqrt(inside)) / np.i0(float(beta)), count)


# -- the older functions --------------------------------------------------------------------------------------------


def _older(name, make, doc):
    def window(window_length, periodic=True, *parameters, dtype=None, layout=None, device=None, requires_grad=False,
               pin_memory=False, **named):  # fmt: skip
        _check_layout(layout)
        d, _ = _options(dtype, device)
        if d.category != 2:
            raise RuntimeError(f"{name} expects floating point dtypes, got: {d!r}")
        if window_length < 0:
            raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
        wide = d if d.itemsize >= 4 else dtypes.float32
        made = make(window_length, *parameters, sym=not periodic, dtype=wide, device=device, **named).to(d)
        return made.requires_grad_() if requires_grad else made

    window.__name__ = window.__qualname__ = name
    window.__doc__ = (
        f"{doc}\n\n    Args:\n        window_length: how many samples.\n        periodic: for spectra.\n    "
    )
    return window


def _hamming(M, alpha=0.54, beta=0.46, **options):
    return general_cosine(M, a=(alpha, beta), **options)


def _kaiser(M, beta=12.0, **options):
    return kaiser(M, beta=beta, **options)


bartlett_window = _older("bartlett_window", bartlett, "A triangle.")
blackman_window = _older("blackman_window", blackman, "Blackman's three cosines.")
hamming_window = _older("hamming_window", _hamming, "A cosine of weight ``beta`` on a floor of ``alpha``.")
hann_window = _older("hann_window", hann, "A raised cosine.")
kaiser_window = _older("kaiser_window", _kaiser, "Kaiser's window of shape ``beta``.")

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]
