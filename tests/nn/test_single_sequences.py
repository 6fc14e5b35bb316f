"""Recurrent layers of one sequence, multiplied in a form of their own, give what it gives among others."""

import pytest

import rushlight as torch
from rushlight import nn


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_one_sequence_as_among_others(kind):
    torch.manual_seed(0)
    layer = getattr(nn, kind)(3, 5, num_layers=2, bidirectional=True)
    x = torch.randn(7, 4, 3)
    many, one = x.clone().requires_grad_(), x[:, 1:2].clone().requires_grad_()
    layer(many)[0][:, 1].square().sum().backward()
    wanted = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(one)[0].square().sum().backward()
    torch.testing.assert_close(layer(one)[0], layer(many)[0][:, 1:2])
    torch.testing.assert_close(one.grad, many.grad[:, 1:2])
    for found, expected in zip(layer.parameters(), wanted):
        torch.testing.assert_close(found.grad, expected)


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_one_step_as_among_others(kind):
    torch.manual_seed(0)
    cell, x, h = getattr(nn, kind)(3, 5), torch.randn(4, 3), torch.randn(4, 5)
    state = (lambda t: (t, t.cos())) if kind == "LSTMCell" else (lambda t: t)
    many, one = cell(x, state(h)), cell(x[2:3], state(h[2:3]))
    for a, b in zip(one, many) if kind == "LSTMCell" else [(one, many)]:
        torch.testing.assert_close(a, b[2:3])
