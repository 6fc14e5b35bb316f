"""Large convolutions have compiler settings of their own, and go through every transformation all the same."""

import pytest

import rushlight as torch
from rushlight.ops import nn_conv


@pytest.fixture
def all_large(monkeypatch):
    monkeypatch.setattr(nn_conv.config, "LARGE_CONVOLUTION", 0.0)


def _inputs():
    torch.manual_seed(0)
    return torch.randn(2, 3, 9, 9), torch.randn(4, 3, 3, 3)


@pytest.mark.parametrize("transposed", [False, True])
def test_values_and_gradients_do_not_depend_on_the_size(transposed, monkeypatch):
    def run():
        x, w = (t.requires_grad_() for t in _inputs())
        if transposed:
            y = torch.nn.functional.conv_transpose2d(x, w.transpose(0, 1).contiguous(), stride=2)
        else:
            y = torch.nn.functional.conv2d(x, w, padding=1)
        return y, *torch.autograd.grad(y.square().sum(), [x, w])

    small = run()
    monkeypatch.setattr(nn_conv.config, "LARGE_CONVOLUTION", 0.0)
    for a, b in zip(small, run()):
        torch.testing.assert_close(a, b)


def test_transformations(all_large):
    x, w = _inputs()
    conv = torch.nn.functional.conv2d

    def loss(w):
        return conv(x, w).square().sum()

    expected = torch.autograd.grad(loss(v := w.clone().requires_grad_()), v)[0]
    torch.testing.assert_close(torch.func.grad(loss)(w), expected)
    torch.testing.assert_close(torch.func.vmap(lambda a: conv(a[None], w)[0])(x), conv(x, w))
    torch.testing.assert_close(torch.func.jvp(lambda w: conv(x, w), (w,), (w,))[1], conv(x, w))
    torch.testing.assert_close(torch.compile(lambda a: conv(a, w))(x), conv(x, w))
    twice = torch.autograd.grad(conv(x, v).square().sum(), v, create_graph=True)[0]
    # The loss is quadratic, so its gradient is a linear map, and the same map is applied again.
    again = 2 * torch.func.grad(loss)(twice.detach())
    torch.testing.assert_close(torch.autograd.grad(twice.square().sum(), v)[0], again)


def test_counted_without_computing(all_large):
    from rushlight.inspect import summary

    table = summary(torch.nn.Conv2d(3, 4, 3), input_size=(2, 3, 9, 9))
    assert "Conv2d" in str(table)
