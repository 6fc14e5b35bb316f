"""Convolutions by minimal filtering: the same results as XLA's, for every size, from their own windows alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core as jex

import rushlight as torch
from rushlight.ops import _patches, _winograd
from rushlight.ops._layout import channels_last

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_other_form(monkeypatch):
    monkeypatch.setattr(_patches, "_few", lambda *sizes: False)


def conv(x, w, padding=((1, 1), (1, 1)), stride=1, **options):
    return lax.conv_general_dilated(x, w, (stride, stride), padding, **options)


def draw(*shape, dtype=np.float64):
    return jnp.asarray(RNG.standard_normal(shape), dtype)


def rearranged(function, *args):
    return channels_last(jax.make_jaxpr(function)(*args))


def run(closed):
    return jax.jit(jex.jaxpr_as_fun(closed))


def convolutions(closed) -> int:
    return str(closed).count("conv_general_dilated[")


SIZES = {
    "even": ((6, 128, 16, 16), 128, ((1, 1), (1, 1))),
    "odd": ((9, 128, 13, 15), 96, ((1, 1), (1, 1))),
    "no padding": ((9, 96, 16, 15), 128, ((0, 0), (0, 0))),
    "uneven padding": ((8, 64, 16, 17), 256, ((0, 2), (3, 1))),
    "cut": ((20, 128, 12, 12), 128, ((-1, 1), (1, -2))),
    "wide": ((10, 128, 4, 33), 128, ((2, 2), (1, 1))),
    "a row": ((40, 128, 3, 20), 128, ((0, 0), (0, 0))),
    "one element": ((70, 256, 3, 3), 288, ((0, 0), (0, 0))),
    "few pictures": ((2, 64, 60, 61), 64, ((1, 1), (1, 1))),
}


@pytest.mark.parametrize("name", SIZES)
def test_results_and_gradients_are_those_of_a_convolution(name):
    shape, out, padding = SIZES[name]
    x, w = draw(*shape), draw(out, shape[1], 3, 3)
    y = conv(x, w, padding)
    g = draw(*y.shape)

    def all_three(x, w, g):
        y, back = jax.vjp(lambda x, w: conv(x, w, padding), x, w)
        return (y, *back(g))

    closed = rearranged(all_three, x, w, g)
    assert convolutions(closed) == (min(g.shape[2:]) <= 6)  # gradients of kernels that slide over little
    for found, expected in zip(run(closed)(x, w, g), jax.jit(all_three)(x, w, g)):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_rounding_is_that_of_a_convolution():
    x, w = draw(4, 256, 14, 14, dtype=np.float32), draw(256, 256, 3, 3, dtype=np.float32)
    exact = np.asarray(conv(x.astype(jnp.float64), w.astype(jnp.float64)))
    (found,) = run(rearranged(conv, x, w))(x, w)
    assert found.dtype == jnp.float32
    ours, usual = (np.abs(np.asarray(y, np.float64) - exact).max() for y in (found, conv(x, w)))
    assert ours < 3 * usual


def test_a_result_depends_on_its_own_window_alone():
    x, w = np.array(draw(10, 128, 12, 12)), draw(128, 128, 3, 3)
    step = run(rearranged(conv, x, w))
    (before,) = step(x, w)
    for value in (1e300, np.inf, np.nan):
        x[0, 3, 5, 6] = value
        (after,) = step(x, w)
        changed = np.zeros(after.shape, bool)
        changed[0, :, 4:7, 5:8] = True
        np.testing.assert_array_equal(np.asarray(after)[~changed], np.asarray(before)[~changed])
        assert np.isfinite(value) or not np.isfinite(np.asarray(after)[changed]).any()


LEFT = {
    "few channels": ((8, 16, 128, 128), (32, 16, 3, 3), {}),
    "few tiles": ((2, 512, 7, 7), (512, 512, 3, 3), {}),
    "little work": ((1, 64, 56, 56), (64, 64, 3, 3), {}),
    "a stride": ((8, 128, 16, 16), (128, 128, 3, 3), {"stride": 2}),
    "a dilated kernel": ((8, 128, 16, 16), (128, 128, 3, 3), {"rhs_dilation": (2, 2)}),
    "a dilated input": ((8, 128, 16, 16), (128, 128, 3, 3), {"lhs_dilation": (2, 2)}),
    "another kernel": ((8, 128, 16, 16), (128, 128, 3, 5), {}),
    "half precision": ((8, 128, 16, 16), (128, 128, 3, 3), {"preferred_element_type": jnp.bfloat16}),
}


@pytest.mark.parametrize("name", LEFT)
def test_it_leaves_to_xla(name):
    shape, kernel, options = LEFT[name]
    dtype = options.get("preferred_element_type", jnp.float32)
    x, w = draw(*shape, dtype=dtype), draw(*kernel, dtype=dtype)
    assert convolutions(rearranged(lambda x, w: conv(x, w, **options), x, w)) == 1


def test_xla_makes_arrays_of_the_sums_once():
    """Else sixteen sums would each compute the batch normalisation before them again."""
    x, w = draw(8, 128, 16, 16, dtype=np.float32), draw(128, 128, 3, 3, dtype=np.float32)
    closed = rearranged(lambda x, w: conv(jnp.floor(x) + x, w), x, w)
    text = run(closed).lower(x, w).compile().as_text() or ""
    assert 0 < text.count(" floor(") <= 2


@pytest.mark.parametrize("compiled", [False, True])
def test_layers_under_vmap_and_with_second_derivatives(compiled):
    weight = torch.tensor(np.asarray(draw(128, 128, 3, 3)) / 30)

    def penalty(x):
        return (torch.func.grad(lambda a: torch.nn.functional.conv2d(a, weight, padding=1).tanh().sum())(x) ** 2).sum()

    def everything(x):
        each = torch.func.vmap(lambda a: torch.nn.functional.conv2d(a[None], weight, padding=1)[0])(x)
        return each, torch.func.grad(penalty)(x), torch.func.jvp(penalty, (x,), (x,))[1]

    x = torch.tensor(np.asarray(draw(5, 128, 16, 16)))
    found = (torch.compile(everything) if compiled else everything)(x)
    plain_fits = _winograd.fits, _winograd.fits_gradient
    _winograd.fits = _winograd.fits_gradient = lambda *_: False
    try:
        expected = torch.compile(lambda a: everything(a))(x)
    finally:
        _winograd.fits, _winograd.fits_gradient = plain_fits
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
