"""Owns nothing: ``torch.fft``'s names for the operators in ``ops``. May import the operators.

Example:
    >>> import rushlight as torch
    >>> torch.fft.rfft(torch.tensor([1.0, 0.0, -1.0, 0.0])).real
    tensor([0., 2., 0.])
"""

from .ops._synonyms import export as _export
from .ops.fft import (
    fft,
    fft2,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftfreq,
    rfftn,
)

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift",
    "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

_export(globals())
