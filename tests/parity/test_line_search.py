"""Compares the search along a line with PyTorch's: the same point after the same number of evaluations."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.optim.lbfgs import _strong_wolfe  # noqa: E402

from rushlight.optim._line_search import Point, strong_wolfe  # noqa: E402

pytestmark = pytest.mark.parity
LINES = {
    "parabola": (lambda t: (t - 2) ** 2, lambda t: 2 * (t - 2)),
    "wave": (lambda t: -math.sin(3 * t) * math.exp(-t / 4), lambda t: math.exp(-t / 4) * (math.sin(3 * t) / 4 - 3 * math.cos(3 * t))),
    "hills": (lambda t: math.cos(5 * t) - t, lambda t: -5 * math.sin(5 * t) - 1),
    "wall": (lambda t: t**8 - t, lambda t: 8 * t**7 - 1),
    "slow": (lambda t: -math.log1p(t), lambda t: -1 / (1 + t)),
    "cusp": (lambda t: abs(t - 0.3) ** 1.1, lambda t: math.copysign(1.1 * abs(t - 0.3) ** 0.1, t - 0.3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_the_same_point(name):
    f, slope = LINES[name]
    for first in np.geomspace(1e-3, 30, 40).tolist():
        one = torch.ones(1, dtype=torch.float64)
        found = _strong_wolfe(
            lambda x, t, d: (f(float(t)), d * slope(float(t))), None, first, one, f(0.0), one * slope(0.0),
            torch.tensor(slope(0.0), dtype=torch.float64),
        )  # fmt: skip
        ours, count = strong_wolfe(
            lambda t: Point(t, f(t), None, slope(t)), Point(0.0, f(0.0), None, slope(0.0)), first, 1.0, 1e-9, 25
        )
        assert count == found[3], first
        np.testing.assert_allclose([ours.t, ours.f], [float(found[2]), found[0]], rtol=1e-6, err_msg=str(first))
