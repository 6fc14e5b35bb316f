"""Convolutions of few places by wide kernels: the results are XLA's, as products with the kernel as it is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core as jex

import rushlight as torch
from rushlight import nn
from rushlight.ops import _patches
from rushlight.ops._layout import channels_last

RNG = np.random.default_rng(0)

# shape of the input, channels of the result, kernel, strides, padding, dilation of the kernel
SIZES = {
    "2x2": ((4, 96, 2, 2), 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "one place": ((1, 64, 3, 3), 96, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "strides": ((2, 64, 7, 6), 128, (3, 3), (2, 3), ((1, 1), (1, 1)), (1, 1)),
    "one element": ((2, 256, 2, 3), 192, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "one element, strides": ((2, 256, 4, 5), 192, (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    "dilated": ((1, 64, 5, 4), 96, (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
    "uneven": ((2, 64, 3, 4), 96, (3, 2), (1, 1), ((0, 2), (1, 0)), (1, 1)),
    "cut": ((2, 64, 6, 6), 96, (3, 3), (1, 1), ((-1, 0), (0, -2)), (1, 1)),
    "one dimension": ((2, 128, 9), 160, (5,), (2,), ((2, 2),), (1,)),
    "three dimensions": ((1, 64, 2, 3, 2), 64, (3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1)),
}


def draw(*shape, dtype=np.float64):
    return jnp.asarray(RNG.standard_normal(shape), dtype)


def convolutions(closed) -> int:
    return str(closed).count("conv_general_dilated[")


def program(strides, padding, dilation):
    def conv(x, w):
        return lax.conv_general_dilated(x, w, strides, padding, rhs_dilation=dilation)

    def all_three(x, w, g):
        y, back = jax.vjp(conv, x, w)
        return (y, *back(g))

    return conv, all_three


@pytest.mark.parametrize("name", SIZES)
def test_results_and_gradients_are_those_of_a_convolution(name):
    shape, out, kernel, *options = SIZES[name]
    conv, all_three = program(*options)
    x, w = draw(*shape), draw(out, shape[1], *kernel)
    g = draw(*conv(x, w).shape)
    closed = channels_last(jax.make_jaxpr(all_three)(x, w, g))
    assert convolutions(closed) == 0
    for found, wanted in zip(jax.jit(jex.jaxpr_as_fun(closed))(x, w, g), all_three(x, w, g)):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_kernel_that_is_stored_the_other_way_round():
    x, w = draw(2, 96, 7, 7), draw(96, 128, 3, 3)

    def conv(x, w):
        return lax.conv_general_dilated(x, w, (2, 3), ((1, 1), (1, 1)), dimension_numbers=("NCHW", "IOHW", "NCHW"))

    closed = channels_last(jax.make_jaxpr(conv)(x[:1, :, :5, :4], w))
    assert convolutions(closed) == 0
    found = jax.jit(jex.jaxpr_as_fun(closed))(x[:1, :, :5, :4], w)[0]
    np.testing.assert_allclose(found, conv(x[:1, :, :5, :4], w), rtol=1e-10, atol=1e-10)


def test_kernels_are_not_moved():
    _, all_three = program((1, 1), ((1, 1), (1, 1)), (1, 1))
    closed = channels_last(jax.make_jaxpr(all_three)(draw(2, 64, 3, 3), draw(96, 64, 3, 3), draw(2, 96, 3, 3)))
    moved = [e for e in closed.eqns if e.primitive.name == "transpose" and e.outvars[0].aval.size == 96 * 64 * 9]
    assert not moved


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((64, 64, 8, 8), (64, 64, 3, 3), {}), ((1, 64, 2, 2), (64, 64, 1, 1), {}),
        ((2, 256, 2, 2), (256, 128, 3, 3), {"feature_group_count": 2}), ((128, 3, 9, 9), (96, 3, 3, 3), {}),
    ],
    ids=["many places", "a small kernel", "groups", "a result that is no kernel"],
)  # fmt: skip
def test_others_are_left_alone(shape, kernel, options, monkeypatch):
    monkeypatch.setattr(_patches, "convolve", None)
    monkeypatch.setattr(_patches, "gradient", None)
    if options:  # each group alone may take the form
        monkeypatch.setattr(_patches, "_KERNEL", 256 * 128 * 9)

    def loss(x, w):
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", **options).sum()

    channels_last(jax.make_jaxpr(jax.grad(loss, (0, 1)))(draw(*shape), draw(*kernel)))


def test_half_precision_and_mixed_operands_are_left_alone():
    x, w = draw(2, 64, 2, 2, dtype=jnp.bfloat16), draw(96, 64, 3, 3, dtype=jnp.bfloat16)
    assert convolutions(channels_last(jax.make_jaxpr(lambda x, w: lax.conv(x, w, (1, 1), "SAME"))(x, w))) == 1


def test_transformations_of_a_layer():
    layer = nn.Conv2d(64, 96, 3, padding=1).double()
    x = torch.randn(3, 2, 64, 2, 2, dtype=torch.float64)
    compiled = torch.compile(lambda x: torch.func.vmap(layer)(x), fullgraph=True)
    np.testing.assert_allclose(
        compiled(x).detach().numpy(), layer(x.flatten(0, 1)).unflatten(0, (3, 2)).detach().numpy()
    )

    def curved(x):
        first = torch.autograd.grad(layer(x).pow(3).sum(), layer.weight, create_graph=True)[0]
        return torch.autograd.grad(first.pow(2).sum(), layer.weight)[0]

    found = torch.compile(curved, fullgraph=True)(x[0])
    np.testing.assert_allclose(found.numpy(), curved(x[0]).numpy(), rtol=1e-9)


def test_a_transposed_convolution():
    layer = nn.ConvTranspose2d(96, 64, 3, stride=2, padding=1, output_padding=1).double()
    x = torch.randn(1, 96, 2, 2, dtype=torch.float64, requires_grad=True)

    def step(x):
        y = layer(x)
        return (y, *torch.autograd.grad(y.pow(2).sum(), [x, layer.weight]))

    for found, wanted in zip(torch.compile(step, fullgraph=True)(x), step(x)):
        np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
