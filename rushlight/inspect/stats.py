"""Owns statistics of one tensor, taken in one pass over small pieces, and histograms drawn with block characters.

May import dtypes and numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import dtypes

BINS = 32
# A histogram wants no more; the other statistics see every element.
_SAMPLE = 1 << 16
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"


@dataclass
class Statistics:
    """What a tensor's values are like; of finite ones where there are others, of magnitudes where complex.

    Attributes:
        count: elements.
        min, max, mean, std, norm: over the finite elements; None where there are none, or where the result does not
            fit float64. ``std`` divides by the count.
        nan, inf, zero: how many there are.
        low, high, histogram: counts in equal bins between the two.
        sampled: whether the histogram is of an evenly spaced part of the elements.
    """

    count: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    norm: float | None = None
    nan: int = 0
    inf: int = 0
    zero: int = 0
    low: float = 0.0
    high: float = 0.0
    histogram: list[int] = field(default_factory=list)
    sampled: bool = False

    @property
    def all_zero(self) -> bool:
        """Whether there are elements, and all are zero."""
        return self.count > 0 and self.zero == self.count

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def counted(count: int, what: str) -> str:
    """A number and a word.

    Example:
        >>> counted(1, "tensor"), counted(2000, "tensor")
        ('1 tensor', '2,000 tensors')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def as_reals(chunk: np.ndarray) -> np.ndarray:
    """A piece in a dtype that numpy computes in: float32 or float64; magnitudes for complex numbers."""
    if chunk.dtype.kind == "c":
        return np.abs(chunk)
    if chunk.dtype in (np.float32, np.float64):
        return chunk
    narrow = chunk.dtype.itemsize <= 2
    return chunk.astype(np.float32 if narrow else np.float64)


def statistics(chunks: Iterable[np.ndarray], count: int) -> Statistics:
    """The statistics of a tensor.

    Args:
        chunks: its values, in flat pieces.
        count: how many there are in all.

    Example:
        >>> import numpy as np
        >>> found = statistics([np.array([0.0, 1.0, np.nan]), np.array([2.0])], 4)
        >>> found.mean, found.nan, found.zero
        (1.0, 1, 1)
    """
    made = Statistics(count)
    stride = max(1, math.ceil(count / _SAMPLE))
    made.sampled = stride > 1
    sample: list[np.ndarray] = []
    seen, mean, squares, total = 0, 0.0, 0.0, 0.0
    low, high, position = math.inf, -math.inf, 0
    with np.errstate(all="ignore"):
        for chunk in chunks:
            values = as_reals(chunk)
            sample.append(
                values[-position % stride :: stride].astype(np.float32 if values.itemsize == 4 else np.float64)
            )
            position += len(values)
            made.zero += len(values) - int(np.count_nonzero(values))
            least = values.min(initial=math.inf)
            most = values.max(initial=-math.inf)
            if not (math.isfinite(least) and math.isfinite(most)) and len(values):
                nan = np.isnan(values)
                made.nan += int(nan.sum())
                made.inf += int(np.isinf(values).sum())
                values = values[np.isfinite(values)]
                least, most = values.min(initial=math.inf), values.max(initial=-math.inf)
            if not len(values):
                continue
            low, high = min(low, float(least)), max(high, float(most))
            # Chan's update keeps the variance exact where the mean is large.
            n = len(values)
            part = float(values.mean(dtype=np.float64))
            if values.itemsize == 4 and not 1e-15 < max(abs(least), abs(most)) < 1e15:
                values = values.astype(np.float64)  # their squares would not fit
            centred = values - values.dtype.type(part)
            # Not np.dot: waking the threads of BLAS for each piece costs more than all the rest on a busy machine.
            spread = float(np.square(centred, out=centred).sum(dtype=np.float64))
            delta = part - mean
            both = seen + n
            squares += spread + delta * delta * seen * n / both
            mean += delta * n / both
            total += spread + part * part * n
            seen = both
    if seen:
        made.min, made.max, made.mean = low, high, _fitting(mean)
        made.std, made.norm = _fitting(math.sqrt(max(squares, 0.0) / seen)), _fitting(math.sqrt(total))
        made.low, made.high = low, high
        made.histogram = _histogram(np.concatenate(sample), low, high)
    return made


def _fitting(value: float) -> float | None:
    """None where sums of numbers that fit do not fit."""
    return value if math.isfinite(value) else None


def _histogram(values: np.ndarray, low: float, high: float, bins: int = BINS) -> list[int]:
    values = values[np.isfinite(values)]
    if not high > low or not math.isfinite(high - low):
        return [len(values)]
    # In double precision, and divided first: bins per unit would overflow where all values are tiny.
    places = ((values.astype(np.float64) - low) / (high - low) * bins).astype(np.int64)
    return np.bincount(np.clip(places, 0, bins - 1), minlength=bins).tolist()


def sparkline(counts: list[int], width: int = 8, ascii_only: bool = False) -> str:
    """A histogram on one line; an empty bin is a blank.

    Example:
        >>> sparkline([1, 0, 4, 8], 4)
        '▁ ▄█'
    """
    if len(counts) <= 1:
        return ""
    bins = [sum(counts[i * len(counts) // width : (i + 1) * len(counts) // width]) for i in range(width)]
    top = max(bins) or 1
    marks = _ASCII if ascii_only else _BLOCKS
    return "".join(marks[max(0, math.ceil(n / top * len(marks)) - 1)] if n else " " for n in bins)


def short_dtype(dtype: dtypes.dtype) -> str:
    """A dtype's name in few letters: ``f32``, ``bf16``, ``i64``, ``f8_e4m3fn``."""
    name = dtype.name
    for long, short in (
        ("bfloat", "bf"),
        ("float8_", "f8_"),
        ("float", "f"),
        ("uint", "u"),
        ("int", "i"),
        ("complex", "c"),
    ):
        if name.startswith(long):
            return short + name[len(long) :]
    return name


def finite(value: Any) -> Any:
    """Plain data in which numbers that JSON has not are None."""
    if isinstance(value, float):
        return _fitting(value)
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value


def printable(value: Any) -> Any:
    """Plain data whose text a terminal takes for nothing but text: control characters are escaped.

    Example:
        >>> printable({"a": ["\\x1b[2J", "é"]})
        {'a': ['\\\\x1b[2J', 'é']}
    """
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    if isinstance(value, dict):
        return {printable(k): printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(v) for v in value]
    return value


def readable_size(count: float) -> str:
    """A size in bytes, three digits and a unit of a power of 1000.

    Example:
        >>> readable_size(512), readable_size(46_827_520)
        ('512 B', '46.8 MB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            return (
                f"{count:.0f} {unit}"
                if unit == "B" or count >= 99.95
                else f"{count:.{1 if count >= 9.995 else 2}f} {unit}"
            )
        count /= 1000
    raise AssertionError


def readable_count(count: float) -> str:
    """A count in three digits: ``11.7M``.

    Example:
        >>> readable_count(11_689_512), readable_count(64)
        ('11.7M', '64')
    """
    for unit in ("", "k", "M", "G", "T", "P"):
        if count < 999.5 or unit == "P":
            return (
                f"{count:.0f}{unit}" if not unit or count >= 99.95 else f"{count:.{1 if count >= 9.995 else 2}f}{unit}"
            )
        count /= 1000
    raise AssertionError


def number(value: float | None, digits: int = 3) -> str:
    """A number in few characters; '-' for None."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e+")
