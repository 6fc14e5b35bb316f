"""Owns the observer that keeps a histogram and seeks the range whose grid loses least.

May import the base beside and numpy. What it does depends on values: inside ``compile`` it runs operator by operator.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ... import dtypes
from ..._tensor.tensor import Tensor
from ...ops.creation import tensor, zeros
from ...ops.sorting import histc
from .observer_base import EPS, INF, UniformQuantizationObserverBase, placed
from .utils import is_per_tensor

_STEP = 1e-5  # the share of all values that one step of the search leaves out
_FINER = 16  # how many parts a bin is cut into when the range grows
_f32 = np.float32


def _norm(begin, end, density):
    """The integral of ``density * x * x``: what rounding to the middle of an interval loses."""
    return density * ((end * end * end - begin * begin * begin) / _f32(3))


class HistogramObserver(UniformQuantizationObserverBase):
    """Keeps a histogram of all inputs; the range it tells is the one whose grid loses least, outliers clipped.

    Args:
        bins: of the histogram.
        others: those of ``UniformQuantizationObserverBase``.

    Raises:
        NotImplementedError: a scheme with channels, or dynamic.
    """

    histogram: Tensor
    min_val: Tensor
    max_val: Tensor

    def __init__(
        self, bins: int = 2048, dtype: Any = dtypes.quint8, qscheme: Any = dtypes.per_tensor_affine,
        reduce_range: bool = False, quant_min: int | None = None, quant_max: int | None = None,
        factory_kwargs: dict | None = None, eps: float = EPS, is_dynamic: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not is_per_tensor(qscheme):
            raise NotImplementedError(
                "HistogramObserver's qscheme only support torch.per_tensor_symmetric and torch.per_tensor_affine."
            )
        if is_dynamic:
            raise NotImplementedError("HistogramObserver doesn't support dynamic quantization")
        super().__init__(
            dtype=dtype, qscheme=qscheme, reduce_range=reduce_range, quant_min=quant_min, quant_max=quant_max,
            factory_kwargs=factory_kwargs, eps=eps, is_dynamic=is_dynamic, **kwargs,
        )  # fmt: skip
        self.bins = bins
        self.register_buffer("histogram", zeros(bins, **placed(factory_kwargs)))
        self.register_buffer("min_val", tensor(INF, **placed(factory_kwargs)))
        self.register_buffer("max_val", tensor(-INF, **placed(factory_kwargs)))
        self.dst_nbins = 2 ** dtypes.iinfo(dtype).bits
        self.upsample_rate = _FINER

    def forward(self, x_orig: Tensor) -> Tensor:
        """Give the input back, after it was counted."""
        if x_orig.numel() == 0:
            return x_orig
        x = x_orig.detach()
        if bool(x.isinf().any()):
            warnings.warn("torch.inf detected in input tensor, ignoring input", stacklevel=2)
            x = x[~x.isinf()]
            if x.numel() == 0:
                return x_orig
        low, high = (_f32(v.item()) for v in x.aminmax())
        held_low, held_high = _f32(self.min_val.item()), _f32(self.max_val.item())
        if held_low == INF or held_high == -INF:
            counts = self._count(x, low, high)
        else:
            low, high = min(low, held_low), max(high, held_high)
            counts = self._count(x, low, high) + self._spread(held_low, held_high, low, high)
        self.histogram.copy_(tensor(counts))
        self.min_val.fill_(float(low))
        self.max_val.fill_(float(high))
        return x_orig

    def _count(self, x: Tensor, low: Any, high: Any) -> np.ndarray:
        limits: Any = {"min": float(low), "max": float(high)}
        return histc(x, self.bins, **limits).numpy()

    def _spread(self, low: Any, high: Any, new_low: Any, new_high: Any) -> np.ndarray:
        """The histogram so far, over a range that grew: every bin is cut finer, and the parts counted anew."""
        held: Any = self.histogram.numpy()
        if (low, high) == (new_low, new_high):
            return held
        if low == high:
            return self._count(tensor([float(low)]), new_low, new_high) * held.sum()
        parts = np.repeat(held, _FINER) / _f32(_FINER)
        width = _f32(high - low) / _f32(self.bins * _FINER)
        middles = np.linspace(low, high, self.bins * _FINER + 1, dtype=_f32)[:-1] + _f32(0.5) * width
        edges = np.linspace(new_low, new_high, self.bins + 1, dtype=_f32)
        place = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, self.bins - 1)
        return np.bincount(place, weights=parts, minlength=self.bins).astype(_f32)

    def _loss(self, start: int, end: int, counts: np.ndarray, width: float) -> float:
        """What a grid over the bins ``start`` to ``end`` loses on all counted values."""
        step = width * (end - start + 1) / self.dst_nbins
        if step == 0.0:
            return 0.0
        begins = (np.arange(self.bins) - start).astype(_f32) * _f32(width)
        ends = begins + _f32(width)
        first = np.clip(np.floor(begins / _f32(step)), 0, self.dst_nbins - 1)
        last = np.clip(np.floor(ends / _f32(step)), 0, self.dst_nbins - 1)
        density = counts / _f32(width)
        half = _f32(step / 2)
        total = _norm(begins - (first + _f32(0.5)) * _f32(step), half, density)
        total = total + (last - first - 1) * _norm(-half, half, density)
        total = total + _norm(-half, ends - (last * _f32(step) + half), density)
        return float(total.sum(dtype=_f32))

    def _best_range(self) -> tuple[Tensor, Tensor]:
        """Leave out bins at either end, where fewer values are, as long as that loses less."""
        counts: Any = self.histogram.numpy()
        low, high = self.min_val.item(), self.max_val.item()
        summed, total = np.cumsum(counts, dtype=_f32), float(counts.sum(dtype=_f32))
        start, end, below, above, least = 0, self.bins - 1, 0.0, 1.0, INF
        while below < above:
            next_below, next_above = below + _STEP, above - _STEP
            left, right = start, end
            while left < end and summed[left] < _f32(next_below * total):
                left += 1
            while right > start and summed[right] > _f32(next_above * total):
                right -= 1
            new_start, new_end = start, end
            if left - start > end - right:
                new_start, below = left, next_below
            else:
                new_end, above = right, next_above
            if (new_start, new_end) == (start, end):
                continue
            loss = self._loss(new_start, new_end, counts, (high - low) / self.bins)
            if loss > least:
                break
            start, end, least = new_start, new_end, loss
        width = (self.max_val - self.min_val) / self.bins
        return self.min_val + width * start, self.min_val + width * (end + 1)

    def calculate_qparams(self) -> Any:  # type: ignore[override]
        """Scale and zero point of the range that loses least."""
        if self.min_val.item() == INF and self.max_val.item() == -INF:
            return self._calculate_qparams(self.min_val, self.max_val)
        if self.bins != len(self.histogram):
            raise AssertionError(
                f"The number of bins in histogram should be {self.bins}, got {len(self.histogram)}: it was loaded "
                "from another observer"
            )
        return self._calculate_qparams(*self._best_range())

    def extra_repr(self) -> str:
        """The range."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


default_histogram_observer = HistogramObserver.with_args(quant_min=0, quant_max=127)

__all__ = ["HistogramObserver", "default_histogram_observer"]
