"""Draws shaped like a transposed tensor: PyTorch draws in the order of memory, and so does rushlight."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

VIEWS = {
    "transposed": lambda x: x.transpose(0, 1),
    "permuted": lambda x: x.reshape(4, 5, 2).permute(2, 0, 1),
    "contiguous": lambda x: x[1:],
    "strided": lambda x: x[:, ::2],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["rand_like", "randn_like"])
def test_like(view, name):
    drawn = []
    for t in (torch, rushlight):
        x = VIEWS[view](t.zeros(4, 10))
        t.manual_seed(0)
        drawn.append([getattr(t, name)(x, dtype=dtype).numpy() for dtype in (t.float32, t.float64)])
        drawn[-1].append(getattr(t, name)(x, memory_format=t.contiguous_format).numpy())
    for expected, received in zip(*drawn, strict=True):
        np.testing.assert_allclose(received, expected, rtol=3e-7, atol=1e-7)
