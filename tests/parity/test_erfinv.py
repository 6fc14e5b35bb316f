"""``erfinv`` to the last place, and the truncated normal values that packages make with it."""

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
VALUES = np.concatenate(
    [np.random.RandomState(0).uniform(-1, 1, 20_000), 1 - np.logspace(-7, -1, 200), np.logspace(-30, -1, 200)]
).astype(np.float32)


def places(ours, theirs):
    """By how many last places float32 values differ."""
    return np.abs(ours.view(np.int32).astype(np.int64) - theirs.view(np.int32))


def test_single_precision_is_the_rounded_exact_value():
    apart = places(rushlight.erfinv(rushlight.tensor(VALUES)).numpy(), torch.erfinv(torch.tensor(VALUES)).numpy())
    assert apart.max() <= 1 and np.mean(apart > 0) < 2e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(dtype):
    values = np.linspace(-0.99, 0.99, 199)
    ours = rushlight.tensor(values).to(getattr(rushlight, dtype)).erfinv()
    theirs = torch.tensor(values).to(getattr(torch, dtype)).erfinv()
    assert ours.dtype == getattr(rushlight, dtype)
    tolerance = 1e-13 if dtype == "float64" else 0
    np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), rtol=tolerance, atol=0)


def test_the_ends_and_beyond():
    values = [-1.5, -1.0, -0.0, 0.0, 1.0, 1.5, float("nan")]
    expected = torch.tensor(values).erfinv().numpy()
    np.testing.assert_array_equal(rushlight.tensor(values).erfinv().numpy(), expected)
    assert np.signbit(rushlight.tensor(values).erfinv().numpy()[2])


def test_gradient():
    def gradient(t):
        x = t.tensor([-0.9, 0.1, 0.5], requires_grad=True)
        t.erfinv(x).sum().backward()
        assert x.grad.dtype == t.float32
        return x.grad.numpy()

    np.testing.assert_allclose(gradient(rushlight), gradient(torch), rtol=1e-6)


def test_truncated_normal_values_of_packages():
    def draw(t):
        t.manual_seed(0)
        values = t.empty(100, 200).uniform_(-0.9545, 0.9545)
        return values.erfinv_().mul_(0.02 * 2**0.5).add_(0.0).clamp_(-2, 2).numpy()

    assert np.mean(draw(rushlight) != draw(torch)) < 2e-3
