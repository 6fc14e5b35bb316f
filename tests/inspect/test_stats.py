"""Statistics in pieces are those of the whole."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rushlight.inspect.stats import number, readable_count, readable_size, sparkline, statistics


def in_pieces(array, size):
    return [array[i : i + size] for i in range(0, len(array), size)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32), max_size=40), st.integers(1, 9))
@example([0.0, 6.43195995125091e-43], 1)
def test_pieces_do_not_matter(numbers, size):
    array = np.array(numbers, np.float32)
    found = statistics(in_pieces(array, size), len(array))
    finite = array[np.isfinite(array)].astype(np.float64)
    assert (found.nan, found.inf, found.zero) == (np.isnan(array).sum(), np.isinf(array).sum(), (array == 0).sum())
    if not len(finite):
        assert found.min is found.mean is found.std is None and found.histogram == []
        return
    assert (found.min, found.max) == (finite.min(), finite.max())
    scale = max(1e-30, np.abs(finite).max())
    assert found.mean == pytest.approx(finite.mean(), abs=1e-5 * scale)
    assert sum(found.histogram) == len(finite)


def test_a_large_mean_does_not_swallow_the_deviation():
    array = (1000 + np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    found = statistics(in_pieces(array, 4096), len(array))
    assert found.std == pytest.approx(array.std(dtype=np.float64), rel=1e-5)
    assert found.norm == pytest.approx(np.linalg.norm(array.astype(np.float64)), rel=1e-6)
    assert found.sampled and 50_000 <= sum(found.histogram) <= 65_536


@pytest.mark.parametrize(
    "dtype", [np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.float16]
)
def test_every_dtype(dtype):
    found = statistics([np.array([0, 1, 1, 0]).astype(getattr(ml_dtypes, str(dtype), dtype))], 4)
    assert (found.min, found.max, found.mean, found.std, found.zero) == (0, 1, 0.5, 0.5, 2)


def test_complex_numbers_count_by_magnitude():
    found = statistics([np.array([3 + 4j, 0, complex("nan")])], 3)
    assert (found.max, found.zero, found.nan) == (5, 1, 1)


def test_text():
    assert sparkline([0, 0, 1, 100], 4) == "  ▁█" and sparkline([0, 0, 1, 100], 4, ascii_only=True) == "  _#"
    assert [readable_size(n) for n in (0, 999, 1000, 99_949, 1_234_567_890)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "99.9 kB",
        "1.23 GB",
    ]
    assert [readable_count(n) for n in (0, 999, 9999, 1.81e9)] == ["0", "999", "10.0k", "1.81G"]
    assert [number(n) for n in (None, 0.0, -0.000012345, 1e10)] == ["-", "0", "-1.23e-5", "1e+10"]
