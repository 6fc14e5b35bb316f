"""Fourier transforms, windows, special functions and masked reductions against published values and identities."""

import math

import pytest

import rushlight as torch


def close(a, b, tol=1e-12):
    return torch.allclose(a, b, rtol=tol, atol=tol)


X = torch.tensor([1.0, 2.0, -1.0, 3.0, 0.5, -2.0], dtype=torch.float64)


def test_transforms_invert():
    for norm in ("backward", "forward", "ortho"):
        assert close(torch.fft.ifft(torch.fft.fft(X, norm=norm), norm=norm).real, X)
        assert close(torch.fft.irfft(torch.fft.rfft(X, norm=norm), norm=norm), X)
        assert close(torch.fft.hfft(torch.fft.ihfft(X, norm=norm), 6, norm=norm), X)
    grid = X.view(2, 3)
    assert close(torch.fft.irfft2(torch.fft.rfft2(grid), (2, 3)), grid)
    assert close(torch.fft.ifftshift(torch.fft.fftshift(X)), X)


def test_fft_of_an_impulse_is_flat():
    assert torch.fft.fft(torch.tensor([1.0, 0.0, 0.0])).tolist() == [1, 1, 1]
    assert torch.fft.fft(torch.tensor([1.0, 0.0]), n=4).shape == (4,)
    assert torch.fft.rfftfreq(4, 0.5).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: torch.fft.fft(X, n=0), r"Invalid number of data points \(0\) specified"),
        (lambda: torch.fft.fft(X, norm="no"), 'Invalid normalization mode: "no"'),
        (lambda: torch.fft.rfft(X + 0j), "rfft expects a real input tensor, but got ComplexDouble"),
        (lambda: torch.fft.fftn(X, dim=(0, 0)), "FFT dims must be unique"),
    ],
)
def test_transforms_refuse(call, text):
    with pytest.raises(RuntimeError, match=text):
        call()


def test_short_time_transform_inverts():
    signal = torch.sin(torch.arange(64.0, dtype=torch.float64))
    window = torch.hann_window(16, dtype=torch.float64)
    made = torch.stft(signal, 16, window=window, return_complex=True)
    assert made.shape == (9, 17)
    assert close(torch.istft(made, 16, window=window, length=64), signal)


def test_windows():
    assert torch.hann_window(4).tolist() == pytest.approx([0, 0.5, 1, 0.5])
    assert torch.signal.windows.hann(5).tolist() == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert torch.bartlett_window(5, periodic=False).tolist() == [0, 0.5, 1, 0.5, 0]
    assert torch.kaiser_window(3, periodic=False, beta=0.0).tolist() == [1, 1, 1]


# Abramowitz and Stegun, tables 9.1, 9.8, 10.11; DLMF 24.
@pytest.mark.parametrize(
    "name, x, expected",
    [
        ("bessel_j0", 5.0, -0.177596771314338), ("bessel_j1", 5.0, -0.327579137591465),
        ("bessel_y0", 5.0, -0.308517625249034), ("bessel_y1", 5.0, 0.147863143391227),
        ("bessel_j0", 1.0, 0.765197686557967), ("bessel_y0", 1.0, 0.088256964215677),
        ("modified_bessel_k0", 1.0, 0.421024438240708), ("modified_bessel_k1", 5.0, 0.004044613445452),
        ("airy_ai", 0.0, 0.355028053887817), ("airy_ai", 5.0, 1.083444281360744e-4),
        ("airy_ai", -3.0, -0.378814293677658),
        ("i1", 1.0, 0.565159103992485), ("erfcx", 3.0, 0.179001151181389), ("ndtri", 0.975, 1.959963984540054),
        ("entr", 0.5, 0.346573590279973), ("spherical_bessel_j0", 1.0, 0.841470984807897),
        ("psi", 1.0, -0.577215664901533),
    ],
)  # fmt: skip
def test_special_values(name, x, expected):
    got = getattr(torch.special, name)(torch.tensor(x, dtype=torch.float64)).item()
    assert got == pytest.approx(expected, rel=1e-12)


def test_special_functions_of_two():
    t = torch.tensor
    assert torch.special.zeta(t(2.0, dtype=torch.float64), t(1.0, dtype=torch.float64)).item() == pytest.approx(
        math.pi**2 / 6
    )
    assert torch.polygamma(1, t([1.0, -0.5], dtype=torch.float64)).tolist() == pytest.approx(
        [math.pi**2 / 6, math.pi**2 / 2 + 4]
    )
    assert torch.special.hermite_polynomial_h(t([0.5]), t([3])).tolist() == [-5.0]
    assert torch.special.legendre_polynomial_p(t([0.5]), t([2])).tolist() == [-0.125]
    assert torch.special.chebyshev_polynomial_t(t([0.3], dtype=torch.float64), t([9])).item() == pytest.approx(
        math.cos(9 * math.acos(0.3))
    )


def test_derivatives_where_jax_has_none():
    for f, expected in ((torch.special.i1, 0.5), (torch.i0, 0.0), (torch.special.i1e, 0.5)):
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        f(x).backward()
        assert x.grad.item() == expected
    x = torch.tensor([-8.3], dtype=torch.float64, requires_grad=True)
    torch.digamma(x).backward()
    assert close(x.grad, torch.polygamma(1, x.detach()))


def test_masked_reductions():
    x = torch.tensor([[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert torch.masked.sum(x, 1, mask=mask).tolist() == [3, 0]
    assert torch.masked.mean(x, mask=mask).item() == 1.5
    assert torch.masked.amax(x, 1, mask=mask).tolist() == [2, -math.inf]
    assert torch.masked.softmax(x, 1, mask=mask)[0].tolist() == pytest.approx([0.268941, 0.731059, 0], abs=1e-6)
    assert torch.masked.var(x, mask=mask, unbiased=False).item() == 0.25


def test_statistics():
    x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert torch.cov(x).tolist() == [[1, -1], [-1, 1]]
    assert close(torch.corrcoef(x), torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), 1e-6)
    assert torch.gradient(torch.tensor([1.0, 4.0, 9.0, 16.0]))[0].tolist() == [3, 4, 6, 7]
    assert torch.histogramdd(torch.tensor([[0.1, 0.2], [0.9, 0.8]]), [2, 2]).hist.tolist() == [[1, 0], [0, 1]]
    assert torch.segment_reduce(x[0], "sum", lengths=torch.tensor([2, 1])).tolist() == [3, 3]
