"""Optimizers of parameters in 16 bits compute in 32, and numbers that become tensors find a place of their own."""

import pytest

import rushlight as torch
from rushlight import nn

KINDS = {
    "Adam": {"lr": 0.01}, "RMSprop": {"lr": 0.01, "alpha": 0.999}, "SGD": {"lr": 0.01, "momentum": 0.9},
    "NAdam": {"lr": 0.01}, "Adagrad": {"lr": 0.01},
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", KINDS)
def test_a_step_is_rounded_once(name, dtype):
    """The first step is that of float32, rounded."""
    start = torch.arange(1.0, 65) / 37
    grad = ((start * 11).sin() / 3).to(getattr(torch, dtype))
    found = []
    for kind in (torch.float32, getattr(torch, dtype)):
        p = nn.Parameter(start.to(getattr(torch, dtype)).to(kind))
        p.grad = grad.to(kind)
        getattr(torch.optim, name)([p], **KINDS[name]).step()
        found.append(p.detach().to(getattr(torch, dtype)))
    assert torch.equal(*found)


T = torch.tensor


@pytest.mark.parametrize(
    "rates",
    [[0.5, T(0.25), 0.125], [T(0.5), T(0.25), T(0.125)], [0.5, 0.25, T(0.125), T(0.5), 0.25, 0.125]],
    ids=["one tensor", "tensors", "both"],
)
def test_rates_that_are_tensors_in_a_compiled_step(rates):
    p = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=rates[0])

    def step(x):
        p.grad = None
        (p * x).sum().backward()
        optimizer.step()

    compiled = torch.compile(step, fullgraph=True)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        before = p.detach().clone()
        compiled(torch.ones(2))
        assert (before - p).tolist() == [float(rate)] * 2
