"""Losses where their two sides are equal."""

from __future__ import annotations

import pytest

import rushlight as torch


@pytest.mark.parametrize("loss", ["l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss"])
@pytest.mark.parametrize("compiled", [False, True])
def test_equal_sides_have_no_gradient(loss, compiled):
    x = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)

    def step(x):
        getattr(torch.nn.functional, loss)(x, torch.tensor([1.0, 2.0, 4.0])).backward()
        return x.grad

    grad = (torch.compile(step) if compiled else step)(x)
    assert grad[:2].tolist() == [0, 0] and grad[2] > 0
